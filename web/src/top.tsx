/** The bar above the photo: task, zoom, comparing, tools, theme, saving. */

import { redo, undo, zoomTo } from "./actions";
import { Tasks } from "./dial";
import { Icon, type IconName } from "./icon";
import { toggleBrush, toggleSaving } from "./keys";
import { brush, choice, current, held, loupe, mode, saving, task, theme, type Mode, type Theme } from "./state";

export function Top() {
  const history = current.value?.history.value;
  const ready = choice.value !== null;
  return (
    <header class="top">
      <h1>hyperrestore</h1>
      <Tasks />
      <div class="tools">
        <div class="group" role="group" aria-label="Zoom">
          <button class="text" disabled={!ready} title="Fit the whole photo (0)" onClick={() => zoomTo("fit")}>Fit</button>
          <button class="text" disabled={!ready} title="Actual pixels (1)" onClick={() => zoomTo(1)}>100 %</button>
        </div>
        <div class="group" role="group" aria-label="Compare">
          <ModeButton wanted="after" icon="image" title="Result only" />
          <ModeButton wanted="wipe" icon="split" title="Wipe between before and after (W)" />
          <ModeButton wanted="side" icon="columns" title="Before and after side by side (S)" />
          <Hold />
        </div>
        <div class="group" role="group" aria-label="Tools">
          <Tool icon="loupe" title="Loupe at 100 % (L)" pressed={loupe.value} onClick={() => (loupe.value = !loupe.value)} />
          <Tool
            icon="brush" title="Brush: restore some parts more than others (B)" pressed={brush.value}
            disabled={!task.value?.maps} onClick={toggleBrush}
          />
        </div>
        <div class="group" role="group" aria-label="Choices">
          <Tool icon="undo" title="Undo (Ctrl+Z)" disabled={!history?.past.length} onClick={undo} />
          <Tool icon="redo" title="Redo (Ctrl+Shift+Z)" disabled={!history?.future.length} onClick={redo} />
        </div>
      </div>
      <ThemeSwitch />
      <button class="main save" aria-label="Save" aria-expanded={saving.value} disabled={!ready} onClick={toggleSaving}>
        <Icon name="download" /><span>Save</span>
      </button>
    </header>
  );
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
      class="text" disabled={choice.value === null} title="Hold to see the original (Space)" aria-pressed={held.value}
      onPointerDown={show} onPointerUp={hide} onPointerLeave={hide} onPointerCancel={hide}
      onKeyDown={(event) => (event.key === " " || event.key === "Enter") && show()} onKeyUp={hide} onBlur={hide}
    >Before</button>
  );
}

const THEMES: Record<Theme, { next: Theme; icon: IconName; title: string }> = {
  auto: { next: "light", icon: "contrast", title: "Same as the system" },
  light: { next: "dark", icon: "sun", title: "Light" },
  dark: { next: "auto", icon: "moon", title: "Dark" },
};

function ThemeSwitch() {
  const { next, icon, title } = THEMES[theme.value] ?? THEMES.auto;
  return (
    <button class="theme" title={`Theme: ${title.toLowerCase()}. Click for: ${THEMES[next].title.toLowerCase()}`} aria-label={`Theme: ${title}`} onClick={() => (theme.value = next)}>
      <Icon name={icon} />
    </button>
  );
}
