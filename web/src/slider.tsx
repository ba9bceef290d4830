/** A level that is turned: a slider, and a number that can be typed. */

import type { Signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { levelAt, positionOf, stepped, written, type Track } from "./levels";

interface SliderProps {
  track: Track;
  at: number;
  /** The level while it is being turned; else null. */
  live: Signal<number | null>;
  choose: (level: number) => void;
  label: string;
  valueText: string;
  /** The id of what explains it. */
  describedBy?: string;
  ends: [string, string];
  mark?: { at: number; title: string };
  faint?: boolean;
}

const REST = 300; // ms without a key, after which the level is chosen

export function Slider({ track, at, live, choose, label, valueText, describedBy, ends, mark, faint }: SliderProps) {
  const { stops } = track;
  const last = stops.length - 1;
  const resting = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const settle = () => {
    clearTimeout(resting.current);
    if (live.peek() !== null) choose(live.peek()!);
  };
  /** A drag ends, also one that ends where it began: browsers tell no change of that. */
  const drag = () => {
    const stop = new AbortController();
    const end = () => {
      stop.abort();
      settle();
    };
    for (const name of ["pointerup", "pointercancel"] as const) window.addEventListener(name, end, { signal: stop.signal });
  };
  const byKeys = (event: KeyboardEvent) => {
    const steps = {
      ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -1e6, End: 1e6,
    }[event.key];
    if (steps === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    live.value = stepped(track, live.peek() ?? at, event.shiftKey ? steps * 10 : steps);
    clearTimeout(resting.current);
    resting.current = setTimeout(settle, REST);
  };
  const share = (level: number) => positionOf(stops, level) / last;
  return (
    <div class="slider" data-untouched={faint || undefined} style={{ "--stops": stops.length, "--at": share(at) }}>
      <div class="rail">
        <div class="fill" />
        {mark && <i class="mark" style={{ left: `${share(mark.at) * 100}%` }} title={mark.title} />}
      </div>
      <input
        type="range" min={0} max={last} step="any" value={positionOf(stops, at)}
        aria-label={label} aria-valuetext={valueText} aria-describedby={describedBy}
        onPointerDown={drag}
        onInput={(event) => {
          clearTimeout(resting.current);
          live.value = levelAt(track, Number(event.currentTarget.value));
        }}
        onChange={settle} onKeyDown={byKeys} onBlur={settle}
      />
      <div class="ends quiet"><span>{ends[0]}</span><span>{ends[1]}</span></div>
    </div>
  );
}

interface NumberProps {
  /** Null where there is none to be shown. */
  value: number | null;
  live: Signal<number | null>;
  low: number;
  high: number;
  choose: (level: number) => void;
  label: string;
  /** How a message calls it. */
  name: string;
}

export function NumberBox({ value, live, low, high, choose, label, name }: NumberProps) {
  const field = useRef<HTMLInputElement>(null);
  const text = value === null ? "" : written(value);
  useLayoutEffect(() => {
    if (document.activeElement !== field.current || live.value !== null) field.current!.value = text;
  }, [text, name, live.value]);
  const take = () => {
    const typed = Number(field.current!.value.trim().replace(",", "."));
    const allowed = field.current!.value.trim() !== "" && typed >= low && typed <= high;
    field.current!.setCustomValidity(allowed ? "" : `${name} takes a number from ${written(low)} to ${written(high)}.`);
    if (field.current!.reportValidity()) choose(typed);
  };
  return (
    <input
      ref={field} class="number" inputMode="decimal" aria-label={label} autocomplete="off" placeholder="–"
      onInput={(event) => event.currentTarget.setCustomValidity("")} onChange={take}
      onBlur={(event) => {
        event.currentTarget.setCustomValidity("");
        event.currentTarget.value = text;
      }}
    />
  );
}
