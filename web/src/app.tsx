/** The page as a whole: what stands where, and photos that come in. */

import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { addFiles, removePhoto } from "./actions";
import { Dial } from "./dial";
import { Icon } from "./icon";
import { listenForKeys } from "./keys";
import { BrushPanel, SavePanel } from "./panels";
import type { Photo } from "./photo";
import { Stage } from "./stage";
import { currentKey, photos, server, theme, trouble } from "./state";
import { Top } from "./top";

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
