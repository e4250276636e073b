"""TF-GAN's losses under TensorFlow 2.16 and later. This is the only module that imports TF-GAN.

TF-GAN 2.1 asks for `tf.estimator`, which TensorFlow 2.16 removed. Its losses do not use it, so an empty module takes
the place of the part that does.
"""

import sys
import types

import tensorflow as tf

if not hasattr(tf, "estimator"):
    tf.estimator = types.SimpleNamespace(SessionRunHook=tf.compat.v1.train.SessionRunHook)
sys.modules.setdefault("tensorflow_gan.python.estimator", types.ModuleType("tensorflow_gan.python.estimator"))

import tensorflow_gan  # noqa: E402

losses = tensorflow_gan.losses.wargs
