/** Puts the page on the screen. */

import { render } from "preact";
import { App } from "./app";
import { connect } from "./actions";
import "./style.css";

render(<App />, document.getElementById("page")!);
void connect();
