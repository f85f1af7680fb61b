// Bundle the console and each app's web/src: one script and one style with hashed names, and the page that names them.
import { build } from "esbuild";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

export async function buildPage(source, target) {
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  const result = await build({
    entryPoints: [join(source, "main.js"), join(source, "style.css")],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    outdir: join(target, "assets"),
    entryNames: "[name]-[hash]",
    metafile: true,
    nodePaths: [join(root, "web", "node_modules")],
    legalComments: "none",
    logLevel: "warning",
  });
  let page = readFileSync(join(source, "index.html"), "utf8");
  for (const [file, output] of Object.entries(result.metafile.outputs)) {
    if (output.entryPoint) page = page.replaceAll(basename(output.entryPoint), `assets/${basename(file)}`);
  }
  writeFileSync(join(target, "index.html"), page);
  if (existsSync(join(source, "public"))) cpSync(join(source, "public"), target, { recursive: true });
}

const apps = readdirSync(join(root, "apps")).filter((app) => existsSync(join(root, "apps", app, "web", "src", "main.js")));
for (const app of apps) await buildPage(join(root, "apps", app, "web", "src"), join(root, "apps", app, "web", "dist"));
await buildPage(join(root, "web", "console", "src"), join(root, "src", "pileus", "console", "built"));
console.log(`built ${[...apps, "the console"].join(", ")}`);
