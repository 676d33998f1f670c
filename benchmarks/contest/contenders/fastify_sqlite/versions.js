// Print the versions of Node and of the dependencies, which package.json pins, in one line.
import { readFileSync } from "node:fs";

const { dependencies } = JSON.parse(readFileSync("package.json", "utf8"));
const versions = { Node: process.versions.node, ...dependencies };
console.log(Object.entries(versions).map((entry) => entry.join(" ")).join(", "));
