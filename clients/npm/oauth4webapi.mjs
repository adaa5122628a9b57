// oauth4webapi.mjs: oauth4webapi in Node.

import * as oauth from "oauth4webapi";
import { arrive, leave } from "./journey.mjs";
import { say, settings } from "./report.mjs";
import { visit } from "./visitor.mjs";

const journey = { oauth, settings, say, keys: settings.dpop && (await oauth.generateKeyPair("ES256")) };
const begun = await leave(journey);
await arrive(journey, await visit(begun.url, settings.redirect_uri), begun);
