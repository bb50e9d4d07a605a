// `npm run pin`: what package.json asks for, with all that it needs, is written to package-lock.json: versions and hashes, no addresses.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

execFileSync("npm", ["install", "--package-lock-only"], { stdio: "inherit" });
const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
const isThere = (name) => Object.keys(lock.packages).some((path) => path.endsWith(`node_modules/${name}`));
for (const one of Object.values(lock.packages)) {
  delete one.funding;
  // What is optional and was not there today must not be fetched tomorrow, whoever may have taken its name.
  for (const name of Object.keys(one.optionalDependencies ?? {})) if (!isThere(name)) delete one.optionalDependencies[name];
}
writeFileSync("package-lock.json", JSON.stringify(lock, null, 2) + "\n");
