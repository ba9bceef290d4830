/** A dial for each level that the model takes: a slider, weakest to the left, and a number in the level's unit. */

const NAMES = { quality: "JPEG quality" };
const STEPS = { sigma: 0.5, noise: 0.5, "colour noise": 0.5 };
const FIRST = 1 / 3; // where the first dial stands in the beginning, between the weakest and the strongest level

/** Fill the element with dials. The result gives the levels; `changed` is called whenever one changes. */
export function makeDials(element, axes, changed) {
  const template = document.getElementById("dial");
  const dials = axes.map((axis, index) => {
    const dial = template.content.firstElementChild.cloneNode(true);
    element.append(dial);
    const { weakest, strongest, origin } = axis;
    return makeDial(dial, axis, index ? origin : weakest + FIRST * (strongest - weakest), changed);
  });
  return { levels: () => dials.map((level) => level()) };
}

/** "sigma 25", "JPEG quality 30"; several levels with commas between them. */
export function phrase(axes, levels) {
  return axes.map(({ unit }, index) => `${NAMES[unit] ?? unit} ${written(levels[index])}`).join(", ");
}

function makeDial(dial, axis, first, changed) {
  const { unit, weakest, strongest, accepted: [low, high], trained } = axis;
  const name = NAMES[unit] ?? unit;
  const [slider, number, advice] = ["[type=range]", ".number", ".advice"].map((part) => dial.querySelector(part));
  const step = STEPS[unit] ?? 1;
  const steps = Math.round(Math.abs(strongest - weakest) / step);
  let level;

  const show = (value) => {
    level = value;
    const place = (value - weakest) / (strongest - weakest);
    slider.value = Math.round(place * steps);
    slider.setAttribute("aria-valuetext", `${name} ${written(value)}`);
    dial.style.setProperty("--at", Math.min(Math.max(place, 0), 1));
    number.value = written(value);
    const outside = value < Math.min(...trained) || value > Math.max(...trained);
    const direction = strongest < weakest ? `a lower ${unit} repairs more` : "";
    advice.textContent = outside ? `the model was trained for ${written(trained[0])} to ${written(trained[1])}` : direction;
  };

  dial.querySelector(".unit").textContent = name;
  slider.max = steps;
  slider.setAttribute("aria-label", `${name}, weakest to strongest`);
  number.setAttribute("aria-label", `Level: ${name}`);
  slider.addEventListener("input", () => {
    const place = Number(slider.value) / steps;
    show(Number((weakest + place * (strongest - weakest)).toFixed(2)));
    changed();
  });
  number.addEventListener("input", () => number.setCustomValidity(""));
  number.addEventListener("change", () => {
    const typed = Number(number.value.trim().replace(",", ".") || NaN);
    const allowed = typed >= low && typed <= high;
    number.setCustomValidity(allowed ? "" : `${name} takes a number from ${written(low)} to ${written(high)}.`);
    if (!number.reportValidity()) return;
    show(typed);
    changed();
  });
  number.addEventListener("blur", () => {
    number.setCustomValidity("");
    number.value = written(level);
  });
  show(Math.round(first / step) * step);
  return () => level;
}

/** A level without digits that say nothing. */
function written(level) {
  return String(Math.round(level * 100) / 100);
}
