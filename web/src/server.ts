/** The HTTP API, typed; the only file that talks to the server. */

import type { Side } from "./history";
import type { Damage, Further, Task, TaskName } from "./levels";
import type { Region } from "./view";

export interface Limits {
  bytes: number;
  pixels: number;
  view_pixels: number;
}

export interface Page {
  page: string;
  tasks: Task[];
  limits: Limits;
  formats: string[];
  version: string;
}

/** What was found of a kind of damage; no level where nothing needs repair. */
export interface Finding {
  level: number | null;
  sentence: string;
}

export interface PhotoInfo {
  id: string;
  name: string;
  format: string;
  width: number;
  height: number;
  bits: number;
  channels: number;
  has_alpha: boolean;
  notes: string[];
  findings: Record<Damage, Finding>;
}

export interface Job {
  id: string;
  photo: string;
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  done: number;
  total: number;
  seconds_left: number | null;
  notes: string[];
  error: string | null;
}

/** How a photo is to be repaired, besides the level. */
export interface Repair extends Further {
  task: TaskName;
  map?: string;
  grain?: number;
}

/** What is to be seen of a photo; without `repair` the photo itself. What is `quick` may be a rounding away. */
export interface RegionRequest {
  region: Region;
  repair?: Repair & { level: number };
  background?: boolean;
  quick?: boolean;
}

/** A whole photo to be restored; without a level at what is found, and copied where nothing is. */
export interface JobRequest extends Repair, Partial<Record<Side, number>> {
  level?: number;
  format?: string;
  quality?: number;
}

/** The server said no, in a sentence for people; or it could not be reached (status 0). */
export class ServerError extends Error {
  constructor(message: string, readonly status: number) {
    super(message);
  }
}

/** What to tell a person about anything that was thrown; null for what was only cancelled. */
export function sentenceOf(error: unknown): string | null {
  if (error instanceof DOMException && error.name === "AbortError") return null;
  return error instanceof Error ? error.message : String(error);
}

const UNREACHABLE = "The server does not answer. Is `hyperrestore web` still running?";

/** One page's session with the server: its photos live there until the page is closed. */
export class Server {
  private constructor(readonly page: Page) {}

  static async open(): Promise<Server> {
    const answer = await send("api/pages", { method: "POST", headers: { "X-Hyperrestore": "1" } });
    return new Server((await answer.json()) as Page);
  }

  /** A sign of life, without which the server lets the photos go. */
  async stay(): Promise<void> {
    await this.call("GET", `api/pages/${this.page.page}`);
  }

  /** End the session, also while the page is being left. */
  leave(): void {
    void this.call("DELETE", `api/pages/${this.page.page}`, { keepalive: true }).catch(() => undefined);
  }

  /**
   * Hear of jobs, which are told first. A browser opens only a few connections to a server, for all its tabs:
   * this one is for the time that a job takes. `lost` is called once it is gone for good.
   */
  listen(onJob: (job: Job) => void, lost: () => void): () => void {
    const source = new EventSource(this.address(`api/pages/${this.page.page}/events`));
    source.addEventListener("job", (event) => onJob(JSON.parse((event as MessageEvent<string>).data) as Job));
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) lost(); // else the browser tries again by itself
    });
    return () => source.close();
  }

  async upload(file: File): Promise<PhotoInfo> {
    const { bytes } = this.page.limits;
    if (file.size > bytes) {
      throw new ServerError(
        `The file has ${megabytes(file.size)}, and the limit is ${megabytes(bytes)}. `
        + "Save it smaller, or use the command line.", 413,
      );
    }
    const headers = { "X-File-Name": encodeURIComponent(file.name || "pasted.png") };
    return (await this.call("POST", "api/photos", { body: file, headers })).json() as Promise<PhotoInfo>;
  }

  async remove(photo: string): Promise<void> {
    await this.call("DELETE", `api/photos/${photo}`);
  }

  /** Pixels for the screen, decoded away from the main thread. */
  async region(photo: string, { region, repair, background, quick }: RegionRequest, signal: AbortSignal): Promise<ImageBitmap> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries({ ...region, ...repair })) query.set(name, String(value));
    if (quick) query.set("quick", "true");
    if (background) query.set("priority", "background");
    const answer = await this.call("GET", `api/photos/${photo}/region?${query}`, { signal });
    return createImageBitmap(await answer.blob(), { colorSpaceConversion: "none" });
  }

  async putMap(photo: string, png: Blob): Promise<string> {
    const headers = { "Content-Type": "image/png" };
    const answer = await this.call("PUT", `api/photos/${photo}/map`, { body: png, headers });
    return ((await answer.json()) as { map: string }).map;
  }

  async startJob(photo: string, request: JobRequest): Promise<Job> {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify(request);
    return (await this.call("POST", `api/photos/${photo}/jobs`, { body, headers })).json() as Promise<Job>;
  }

  async cancel(job: string): Promise<void> {
    await this.call("DELETE", `api/jobs/${job}`);
  }

  fileOf(job: string): string {
    return this.address(`api/jobs/${job}/file`);
  }

  /** All files of some jobs as one ZIP. */
  archiveOf(jobs: string[]): string {
    return `${this.address("api/archive")}${jobs.map((job) => `&job=${job}`).join("")}`;
  }

  private address(path: string): string {
    return `${path}?page=${encodeURIComponent(this.page.page)}`;
  }

  private call(method: string, path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { ...init.headers, "X-Page": this.page.page, "X-Hyperrestore": "1" };
    return send(path, { ...init, method, headers });
  }
}

async function send(path: string, init: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch (error) {
    if (error instanceof DOMException) throw error; // cancelled
    throw new ServerError(UNREACHABLE, 0);
  }
  if (answer.ok) return answer;
  const said = (await answer.json().catch(() => null)) as { error?: string } | null;
  throw new ServerError(said?.error ?? `The server answered ${answer.status}.`, answer.status);
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
