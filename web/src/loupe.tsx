/** A look at 100 % under the pointer: the photo on the left, the result on the right, the same place. */

import { useEffect, useRef } from "preact/hooks";
import { lookAt } from "./scenes";
import { canvasSize, choice, current, further, level, scale, untouched } from "./state";
import { inPhoto, pointer } from "./gestures";

const SIDE = 168; // of each half, in pixels of the layout

export function Loupe() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width, height, ratio } = canvasSize.value;
  const at = pointer.value ?? { x: width / 2, y: height / 2 };
  const side = Math.round(SIDE * ratio);
  const photo = current.value;
  const [now, one, others, factor] = [choice.value, level.value, further.value, scale.value];
  const view = photo?.view.value;
  const [plain, map] = [untouched.value, photo?.mapId.value]; // what was painted is seen once the server has it
  useEffect(() => {
    if (!photo || !canvas.current) return;
    const context = canvas.current.getContext("2d")!;
    const centre = inPhoto(photo, at);
    const whole = photo.whole.peek();
    if (whole) {
      const part = side / factor / whole.unit;
      for (const left of [0, side]) {
        context.drawImage(
          whole.bitmap, centre.x / whole.unit - part / 2, centre.y / whole.unit - part / 2, part, part, left, 0, side, side,
        );
      }
    }
    const abort = new AbortController();
    const wait = setTimeout(() => void lookAt(photo, centre, side, abort.signal, (before, after) => {
      context.clearRect(0, 0, 2 * side, side);
      context.imageSmoothingQuality = "high";
      context.drawImage(before, 0, 0, side, side);
      context.drawImage(after, side, 0, side, side);
      canvas.current!.dataset.kind = "exact";
    }), 80);
    canvas.current.dataset.kind = "preview";
    return () => {
      clearTimeout(wait);
      abort.abort();
    };
  }, [at.x, at.y, photo, now, one, others, factor, side, view, plain, map]);
  const left = Math.min(Math.max(at.x / ratio - SIDE, 8), width / ratio - 2 * SIDE - 8);
  const above = at.y / ratio - SIDE - 40;
  return (
    <figure class="loupe" style={{ left: `${left}px`, top: `${above > 8 ? above : at.y / ratio + 28}px` }}>
      <canvas ref={canvas} width={2 * side} height={side} style={{ width: `${2 * SIDE}px`, height: `${SIDE}px` }} />
      <figcaption><span>before</span><span>100 %</span><span>after</span></figcaption>
    </figure>
  );
}
