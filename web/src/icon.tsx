/** Icons of Lucide (ISC), only those that are used. */

import brush from "lucide-static/icons/brush.svg?raw";
import close from "lucide-static/icons/x.svg?raw";
import columns from "lucide-static/icons/columns-2.svg?raw";
import contrast from "lucide-static/icons/contrast.svg?raw";
import download from "lucide-static/icons/download.svg?raw";
import down from "lucide-static/icons/chevron-down.svg?raw";
import eraser from "lucide-static/icons/eraser.svg?raw";
import image from "lucide-static/icons/square.svg?raw";
import loupe from "lucide-static/icons/search.svg?raw";
import moon from "lucide-static/icons/moon.svg?raw";
import plus from "lucide-static/icons/plus.svg?raw";
import redo from "lucide-static/icons/redo-2.svg?raw";
import split from "lucide-static/icons/square-split-horizontal.svg?raw";
import sun from "lucide-static/icons/sun.svg?raw";
import up from "lucide-static/icons/chevron-up.svg?raw";
import undo from "lucide-static/icons/undo-2.svg?raw";
import warning from "lucide-static/icons/circle-alert.svg?raw";

const ICONS = { brush, close, columns, contrast, down, download, eraser, image, loupe, moon, plus, redo, split, sun, undo, up, warning };

export type IconName = keyof typeof ICONS;

export function Icon({ name }: { name: IconName }) {
  return <span class="icon" aria-hidden="true" dangerouslySetInnerHTML={{ __html: ICONS[name] }} />;
}
