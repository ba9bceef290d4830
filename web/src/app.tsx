/** The page as a whole: what stands where, files that come in, and keys that work everywhere. */

import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Dial, Tasks } from "./dial";
import { Icon, type IconName } from "./icon";
import { BrushPanel, SavePanel } from "./panels";
import { Stage } from "./stage";
import {
  addFiles, brush, brushSize, choice, current, currentKey, held, look, loupe, mode, photos, redo, removePhoto, resultSize,
  saving, server, task, theme, trouble, undo, wipeAt, zoomTo, type Mode, type Photo, type Theme,
} from "./state";
import { zoomedAt, zoomOf } from "./view";

export function App() {
  const over = useSignal(false);
  useEffect(listenForFiles(over), []);
  useEffect(listenForKeys, []);
  useSignalEffect(() => {
    document.documentElement.dataset.theme = theme.value;
    localStorage.setItem("theme", theme.value);
  });
  const empty = photos.value.length === 0;
  return (
    <div class="page" data-empty={empty || undefined}>
      <Top />
      {trouble.value && <p class="error banner" role="alert">{trouble.value}</p>}
      <main>
        {empty ? <Welcome /> : <Stage />}
        <div class="panels"><BrushPanel /><SavePanel /></div>
      </main>
      {!empty && <footer><Dial /><Strip /></footer>}
      {over.value && <div class="over" aria-hidden="true">Drop photos anywhere</div>}
    </div>
  );
}

function Top() {
  const history = current.value?.history.value;
  const ready = choice.value !== null;
  return (
    <header class="top">
      <h1>hyperrestore</h1>
      <Tasks />
      <div class="tools">
        <div class="group" role="group" aria-label="Zoom">
          <button class="text" disabled={!ready} title="Whole photo (0)" onClick={() => zoomTo("fit")}>Fit</button>
          <button class="text" disabled={!ready} title="Pixel for pixel (1)" onClick={() => zoomTo(1)}>100 %</button>
        </div>
        <div class="group" role="group" aria-label="Compare">
          <ModeButton wanted="after" icon="image" title="The result alone" />
          <ModeButton wanted="wipe" icon="split" title="Wipe between before and after (W)" />
          <ModeButton wanted="side" icon="columns" title="Before and after side by side (S)" />
          <Hold />
        </div>
        <div class="group" role="group" aria-label="Tools">
          <Tool icon="loupe" title="Loupe at 100 % (L)" pressed={loupe.value} onClick={() => (loupe.value = !loupe.value)} />
          <Tool
            icon="brush" title="Brush: restore parts more or less (B)" pressed={brush.value}
            disabled={!task.value?.maps} onClick={toggleBrush}
          />
        </div>
        <div class="group" role="group" aria-label="Choices">
          <Tool icon="undo" title="Undo (Ctrl+Z)" disabled={!history?.past.length} onClick={undo} />
          <Tool icon="redo" title="Redo (Ctrl+Shift+Z)" disabled={!history?.future.length} onClick={redo} />
        </div>
      </div>
      <ThemeSwitch />
      <button class="main save" aria-label="Save" aria-expanded={saving.value} disabled={!ready} onClick={() => (saving.value = !saving.value)}>
        <Icon name="download" /><span>Save</span>
      </button>
    </header>
  );
}

function toggleBrush(): void {
  if (!task.peek()?.maps) return;
  brush.value = !brush.value;
  if (brush.value) loupe.value = false;
}

interface ToolProps {
  icon: IconName;
  title: string;
  pressed?: boolean;
  disabled?: boolean;
  onClick: () => void;
}

function Tool({ icon, title, pressed, disabled, onClick }: ToolProps) {
  const unready = choice.value === null || disabled;
  return (
    <button title={title} aria-label={title} aria-pressed={pressed} disabled={unready} onClick={onClick}><Icon name={icon} /></button>
  );
}

function ModeButton({ wanted, icon, title }: { wanted: Mode; icon: IconName; title: string }) {
  return <Tool icon={icon} title={title} pressed={mode.value === wanted} onClick={() => (mode.value = wanted)} />;
}

/** Shows the photo as it is for as long as it is pressed. */
function Hold() {
  const show = () => (held.value = true);
  const hide = () => (held.value = false);
  return (
    <button
      class="text" disabled={choice.value === null} title="Hold to see the photo as it is (Space)" aria-pressed={held.value}
      onPointerDown={show} onPointerUp={hide} onPointerLeave={hide} onPointerCancel={hide}
      onKeyDown={(event) => (event.key === " " || event.key === "Enter") && show()} onKeyUp={hide} onBlur={hide}
    >Before</button>
  );
}

const THEMES: Record<Theme, { next: Theme; icon: IconName; title: string }> = {
  auto: { next: "light", icon: "system", title: "Light or dark as the system" },
  light: { next: "dark", icon: "sun", title: "Light" },
  dark: { next: "auto", icon: "moon", title: "Dark" },
};

function ThemeSwitch() {
  const { next, icon, title } = THEMES[theme.value] ?? THEMES.auto;
  return (
    <button class="theme" title={`${title}; press for: ${THEMES[next].title.toLowerCase()}`} aria-label={`Theme: ${title}`} onClick={() => (theme.value = next)}>
      <Icon name={icon} />
    </button>
  );
}

function Choose({ children, compact }: { children: preact.ComponentChildren; compact?: boolean }) {
  const field = useRef<HTMLInputElement>(null);
  return (
    <>
      <button class={compact ? "add" : "main"} aria-label={compact ? "Add photos" : undefined} title={compact ? "Add photos" : undefined} onClick={() => field.current!.click()}>
        {children}
      </button>
      <input
        ref={field} class="unseen" type="file" multiple accept="image/*,.tif,.tiff,.avif" tabIndex={-1} aria-label="Photos"
        onChange={(event) => {
          void addFiles([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = ""; // so that the same file can be chosen again
        }}
      />
    </>
  );
}

function Welcome() {
  const limits = server.value?.page.limits;
  return (
    <section class="welcome">
      <p class="lead">Drop photos here</p>
      <p class="quiet">or paste them, or</p>
      <Choose>Choose photos</Choose>
      <p class="quiet small">
        PNG, JPEG, WebP, TIFF, AVIF{limits && `; at most ${Math.round(limits.bytes / 1e6)} MB and ${Math.round(limits.pixels / 1e6)} megapixels`}.
        <br />They stay on this machine.
      </p>
    </section>
  );
}

function Strip() {
  return (
    <nav class="strip" aria-label="Photos">
      <ol>
        {photos.value.map((photo) => (
          <li key={photo.key}>
            <button
              aria-current={photo.key === currentKey.value} aria-label={photo.file.name} title={photo.file.name}
              onClick={() => (currentKey.value = photo.key)}
            >
              <Small photo={photo} />
              {photo.error.value && <Icon name="warning" />}
            </button>
            {photo.key === currentKey.value && (
              <button class="remove" aria-label={`Remove ${photo.file.name}`} title="Remove" onClick={() => void removePhoto(photo)}>
                <Icon name="close" />
              </button>
            )}
          </li>
        ))}
        <li><Choose compact><Icon name="plus" /></Choose></li>
      </ol>
    </nav>
  );
}

/** A photo's picture in the strip. */
function Small({ photo }: { photo: Photo }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const whole = useComputed(() => photo.whole.value).value;
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !whole) return;
    const { width, height } = whole.bitmap;
    const side = Math.min(width, height);
    context.imageSmoothingQuality = "high";
    context.drawImage(whole.bitmap, (width - side) / 2, (height - side) / 2, side, side, 0, 0, 112, 112);
  }, [whole]);
  return <canvas ref={canvas} width={112} height={112} aria-hidden="true" />;
}

function listenForFiles(over: { value: boolean }) {
  return () => {
    const stop = new AbortController();
    const listen = <Name extends keyof WindowEventMap>(name: Name, heard: (event: WindowEventMap[Name]) => void) =>
      window.addEventListener(name, heard, { signal: stop.signal });
    listen("dragover", (event) => {
      event.preventDefault();
      over.value = event.dataTransfer?.types.includes("Files") ?? false;
    });
    listen("dragleave", (event) => {
      if (event.relatedTarget === null) over.value = false;
    });
    listen("drop", (event) => {
      event.preventDefault();
      over.value = false;
      void addFiles([...(event.dataTransfer?.files ?? [])]);
    });
    listen("paste", (event) => void addFiles([...(event.clipboardData?.files ?? [])]));
    return () => stop.abort();
  };
}

const NEXT_LARGER = 2 ** 0.5;

function zoomBy(factor: number): void {
  look((view, pane, photo, scale) => {
    const middle = { x: pane.left + pane.width / 2, y: pane.top + pane.height / 2 };
    return zoomedAt(view, zoomOf(view, pane, resultSize.peek()) * factor, middle, pane, photo, scale);
  });
}

const KEYS: Record<string, () => void> = {
  "0": () => zoomTo("fit"),
  f: () => zoomTo("fit"),
  "1": () => zoomTo(1),
  "2": () => zoomTo(2),
  "+": () => zoomBy(NEXT_LARGER),
  "=": () => zoomBy(NEXT_LARGER),
  "-": () => zoomBy(1 / NEXT_LARGER),
  w: () => (mode.value = mode.value === "wipe" ? "after" : "wipe"),
  s: () => (mode.value = mode.value === "side" ? "after" : "side"),
  l: () => (loupe.value = !loupe.value),
  b: toggleBrush,
  "[": () => (brushSize.value = Math.max(8, Math.round(brushSize.value / 1.2))),
  "]": () => (brushSize.value = Math.min(300, Math.round(brushSize.value * 1.2))),
  "<": () => (wipeAt.value = Math.max(0, wipeAt.value - 0.05)),
  ">": () => (wipeAt.value = Math.min(1, wipeAt.value + 0.05)),
  Escape: () => {
    brush.value = false;
    loupe.value = false;
    saving.value = false;
  },
};

function listenForKeys(): () => void {
  const stop = new AbortController();
  const typed = (event: KeyboardEvent) => {
    const { target } = event;
    return target instanceof HTMLSelectElement || (target instanceof HTMLInputElement && target.type !== "range");
  };
  window.addEventListener("keydown", (event) => {
    if (typed(event) || choice.peek() === null) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault();
      if (event.shiftKey) redo();
      else undo();
    } else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if (event.key === " ") {
      if (event.target instanceof HTMLButtonElement || event.target instanceof HTMLAnchorElement) return; // presses it
      event.preventDefault();
      held.value = true;
    } else KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key]?.();
  }, { signal: stop.signal });
  window.addEventListener("keyup", (event) => {
    if (event.key === " ") held.value = false;
  }, { signal: stop.signal });
  window.addEventListener("blur", () => (held.value = false), { signal: stop.signal });
  return () => stop.abort();
}
