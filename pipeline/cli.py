"""The command line, `tailgan`.

Exit codes: 0 done, 1 a run failed, 2 usage or configuration, 3 the gate did not bless, 130 interrupted. Heavy imports
(TFX, TensorFlow, rich, matplotlib) happen inside the commands that need them.
"""

import argparse
import functools
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import cli_kubeflow, screen
from pipeline.version import version
from serving.flags import add_flags

RUNS = Path("runs")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tailgan", description="GANs for the long tail.")
    parser.add_argument("--version", action="version", version=f"tailgan {version()}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        return sub

    def config_arguments(sub: argparse.ArgumentParser, name: str = "config", **options: Any) -> None:
        sub.add_argument(name, type=Path, metavar="CONFIG", help="a YAML file, such as configs/digits.yaml", **options)
        sub.add_argument(
            "--set",
            action="append",
            default=[],
            dest="overrides",
            metavar="KEY=VALUE",
            help="override, such as gan.steps=500",
        )

    def root_argument(sub: argparse._ActionsContainer) -> None:
        sub.add_argument("--root", type=Path, help="directory of a run; the newest below runs/ if not given")

    run = command("run", "Run a pipeline on this machine; what is cached is re-used.")
    config_arguments(run)
    run.add_argument("--root", type=Path, help="directory of everything written; runs/<name of the file> if not given")
    run.add_argument("--resume", action="store_true", help="refuse to run if the newest run had another configuration")
    run.add_argument("--verbose", action="store_true", help="show the logs of TFX, TensorFlow and Beam")
    evaluate = command("evaluate", "Judge any generator, or a folder of images, as a run judges its own; push nothing.")
    judged = evaluate.add_mutually_exclusive_group(required=True)
    judged.add_argument("--model", type=Path, metavar="DIR", help="a SavedModel with the signature of a generator")
    judged.add_argument("--images", type=Path, metavar="DIR", help="a folder of generated images, laid out as CLASS/*")
    config_arguments(evaluate, "--config", required=True)
    evaluate.add_argument("--root", type=Path, help="as of `run`: what is cached there is re-used")
    evaluate.add_argument("--verbose", action="store_true", help="show the logs of TFX, TensorFlow and Beam")
    evaluate.add_argument("--json", action="store_true", help="print the evaluation as one JSON object")
    config_arguments(command("config", "Print the resolved configuration."))
    model = command("model", "Show the networks that a configuration makes, and what they cost.")
    config_arguments(model)
    model.add_argument("--classes", type=_positive, metavar="N", help="number of classes; the data's if not given")
    model.add_argument("--json", action="store_true", help="print one JSON object")

    for name, help in (("status", "Show how far the newest run is."), ("report", "Show the result of the newest run.")):
        sub = command(name, help)
        root_argument(sub)
        form = sub.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print one JSON object")
        if name == "report":
            form.add_argument("--markdown", action="store_true", help="print Markdown, for a pull request or a wiki")

    sample = command("sample", "Make images with a pushed generator; equal arguments give equal bytes.")
    source = sample.add_mutually_exclusive_group()
    root_argument(source)
    source.add_argument("--model", type=Path, help="directory of an exported generator")
    source.add_argument(
        "--endpoint",
        metavar="URL",
        help="a served generator: grpc://HOST:PORT or http(s)://HOST:PORT, and /MODEL if its name is not generator",
    )
    sample.add_argument(
        "--label", action="append", default=[], metavar="NAME|INDEX", help="class; may be repeated; all if not given"
    )
    sample.add_argument("--count", type=_positive, default=8, help="images a class (default: 8)")
    sample.add_argument("--seed", type=int, default=0, help="seed of the first image (default: 0)")
    sample.add_argument(
        "--out", type=Path, required=True, metavar="FILE.png|DIR", help="a grid, or a directory of images"
    )

    serve = command("serve", "Serve a pushed generator, or any models, over TensorFlow Serving's protocol.")
    root_argument(serve)
    add_flags(serve)

    doctor = command("doctor", "Check whether this machine and installation can run a pipeline, and say what to do.")
    doctor.add_argument("--root", type=Path, default=RUNS, help="directory to be written to (default: runs)")
    doctor.add_argument("--json", action="store_true", help="print a list of {name, state, found, do}")

    clean = command("clean", "Remove what older runs left in a root; the next run re-uses all that is kept.")
    clean.add_argument("--root", type=Path, required=True, help="directory of runs")
    clean.add_argument(
        "--keep", type=_positive, required=True, metavar="N", help="runs, and pushed versions, to keep; the newest"
    )
    consent = clean.add_mutually_exclusive_group()
    consent.add_argument("--dry-run", action="store_true", help="only show what would be removed")
    consent.add_argument("--yes", action="store_true", help="remove without asking")
    cli_kubeflow.add_commands(command, config_arguments, _positive)
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def _root(given: Path | None) -> Path:
    """The root that was given, or the one below runs/ that ran last."""
    from pipeline.config import ConfigError
    from pipeline.record import FILE_NAME

    if given is not None:
        return given
    records = sorted(RUNS.glob(f"*/{FILE_NAME}"), key=lambda path: path.stat().st_mtime)
    if not records:
        raise ConfigError(f"no run below {RUNS}/; name one with --root")
    return records[-1].parent


def _run(args: argparse.Namespace) -> int:
    from pipeline.config import load, locate

    config = load(args.config, args.overrides)
    root = args.root or RUNS / args.config.stem
    if args.resume:
        from pipeline import resume

        resume.check(root, config)
    from pipeline import local

    locate_key = functools.partial(locate, args.config, args.overrides)
    state = local.run(config, root, locate_key, verbose=args.verbose, debug=args.debug)
    if state.error:
        where = f"; all of it in {state.log}" if state.log else ""
        _complain(f"{state.error}{where}")
    return local.EXIT_CODES[state.outcome]


def _evaluate(args: argparse.Namespace) -> int:
    from pipeline.config import load, locate

    config = load(args.config, args.overrides)
    root = args.root or RUNS / args.config.stem
    from pipeline import evaluate

    locate_key = functools.partial(locate, args.config, args.overrides)
    what = evaluate.Judged(args.model or args.images, is_folder=args.images is not None)
    try:
        document = evaluate.evaluate(what, config, root, locate_key, verbose=args.verbose, quiet=args.json)
    except evaluate.Failed as failure:
        if args.debug:
            traceback.print_exc()
        _complain(str(failure))
        return 1
    print(json.dumps(document, indent=2, allow_nan=False) if args.json else evaluate.summary(document))
    return 0 if document["blessed"] else 3


def _config(args: argparse.Namespace) -> int:
    from pipeline.config import load

    print(load(args.config, args.overrides).as_yaml(), end="")
    return 0


def _model(args: argparse.Namespace) -> int:
    from pipeline.config import load, locate

    config = load(args.config, args.overrides)
    from pipeline import model
    from pipeline.display import logs_to

    with logs_to(Path(os.devnull)):  # TensorFlow has much to say
        classes = args.classes or model.number_of_classes(
            config, functools.partial(locate, args.config, args.overrides)
        )
        summary = model.summarize(config, classes)
    if args.json:
        print(json.dumps(summary.as_dict(), indent=2))
    else:
        model.show(summary)
    return 0


def _status(args: argparse.Namespace) -> int:
    from pipeline import serving_validation
    from pipeline.config import ConfigError
    from pipeline.lock import holder
    from pipeline.record import RunRecord

    root = _root(args.root)
    at_work = holder(root)
    record = RunRecord.load(root)
    other = at_work if record is None or record.pid != at_work else None
    told_of_other = f"a run is starting here, or `tailgan clean` is at work (pid {other})"
    if record is None:
        raise ConfigError(f"{root}: no run here{f' yet; {told_of_other}' if other else ''}")
    outcome: str = "broken_off" if record.outcome == "running" and record.pid != at_work else record.outcome
    if args.json:
        print(json.dumps({**record.model_dump(mode="json"), "outcome": outcome, "at_work": at_work}, indent=2))
        return 0
    told = outcome.replace("_", " ")
    if outcome == "broken_off":
        told += f": its process, {record.pid}, is gone"
        told += "" if other else "; the same `tailgan run` goes on from there"
    print(f"{root}: {told} (run {record.run_id}, started {record.started})")
    if other:
        print(told_of_other)
    for node_id, node in record.nodes.items():
        seconds = f"{node.seconds:8.1f} s" if node.seconds is not None else ""
        print(f"  {node.state:<9} {node_id:<{max(map(len, record.nodes))}} {seconds}".rstrip())
    if record.error:
        print(record.error)
    for reason in serving_validation.reasons(record):
        print(reason)
    return 0


def _report(args: argparse.Namespace) -> int:
    from pipeline import results

    root = _root(args.root)
    collected = results.collect(root)
    if args.json:
        print(json.dumps(collected, indent=2, allow_nan=False))
        return 0
    if args.markdown:
        from pipeline import report_markdown

        print(report_markdown.render(collected), end="")
        return 0
    from pipeline import report

    print(report.summary(collected))
    print(f"\n{report.write(root)}")
    return 0


def _sample(args: argparse.Namespace) -> int:
    from pipeline import sample

    wanted = args.label, args.count, args.seed
    if args.endpoint:
        images = sample.of_endpoint(args.endpoint, *wanted)
    else:
        images = sample.of_model(args.model or sample.model_dir(_root(args.root)), *wanted)
    for path in sample.write(images, args.count, args.out):
        print(path)
    return 0


def _serve(args: argparse.Namespace) -> int:
    from pipeline import serve
    from pipeline.config import ConfigError

    named = [f"--{flag}" for flag in ("model_name", "model_base_path", "model_config_file") if getattr(args, flag)]
    if args.root and named:
        raise ConfigError(f"--root serves what its runs push: it does not go with {named[0]}")
    return serve.serve(args, None if named else _root(args.root))


def _doctor(args: argparse.Namespace) -> int:
    from pipeline import doctor

    findings = []
    for finding in doctor.examine(doctor.checks(args.root)):
        findings.append(finding)
        if not args.json:
            print(doctor.text(finding), flush=True)
    if args.json:
        print(doctor.as_json(findings))
    return int(any(finding.state == "bad" for finding in findings))


def _agreed(question: str) -> bool:
    """Whether the person at the terminal says yes; anything else, the end of input too, is a no."""
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def _clean(args: argparse.Namespace) -> int:
    from pipeline import clean, clean_summary

    with clean.opened(args.root) as site:
        plan = clean.plan(site, args.keep)
        print(clean_summary.summary(plan))
        if args.dry_run or not plan.goes:
            return 0
        if not args.yes:
            if not sys.stdin.isatty():
                print("Nothing was removed; --yes removes it.")
                return 0
            if not _agreed(f"remove {clean_summary.size(plan.bytes)}? [y/N] "):
                print("Nothing was removed.")
                return 0
        clean.remove(plan)
    print(f"Removed {clean_summary.size(plan.bytes)}.")
    return 0


_COMMANDS = {
    "run": _run,
    "evaluate": _evaluate,
    "config": _config,
    "model": _model,
    "status": _status,
    "report": _report,
    "sample": _sample,
    "serve": _serve,
    "doctor": _doctor,
    "clean": _clean,
    **cli_kubeflow.COMMANDS,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    screen.open_closed()
    args = _parser().parse_args(argv)
    try:
        code = _COMMANDS[args.command](args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        _complain("interrupted; the same command goes on where it stopped")
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough, as `head` has
        screen.silence(sys.stdout)
        return 0
    except Exception as error:
        from pipeline.config import ConfigError

        if args.debug:
            traceback.print_exc()
        if isinstance(error, ConfigError):
            _complain(*str(error).splitlines())
            return 2
        _complain(f"{type(error).__name__}: {error}")
        return 1


def _complain(*lines: str) -> None:
    """Lines on standard error, where there is someone to read them; the exit code tells the rest."""
    print("\n".join(f"tailgan: {line}" for line in lines), file=screen.lasting(sys.stderr), flush=True)


if __name__ == "__main__":
    sys.exit(main())
