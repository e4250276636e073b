// Small helpers for elements. Text from elsewhere becomes text, never markup.

export const $ = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Makes an image about that high: by a whole factor where it is smaller, so that its pixels stay squares. */
export function enlarged(image, wanted) {
  image.addEventListener("load", () => {
    const { naturalWidth: width, naturalHeight: height } = image;
    const factor = height > wanted ? wanted / height : Math.round(wanted / height);
    image.classList.toggle("smooth", factor < 1);
    image.style.width = `${factor * width}px`;
  });
  return image;
}

/** An <option> for each name. */
export function fill(select, names) {
  select.replaceChildren(...names.map((name) => element("option", { value: name, textContent: name })));
}

export function fault(error) {
  $("fault").textContent = error ? error.message : "";
  $("fault").hidden = !error;
}

/** Runs a task with a button off, and tells what goes wrong. */
export async function during(button, task) {
  button.disabled = true;
  try {
    fault(null);
    await task();
  } catch (error) {
    fault(error);
  } finally {
    button.disabled = false;
  }
}
