/** A file dropped on the page. */
import { useEffect, useState } from "../vendor/hooks.js";

const hasFile = (event) => [...(event.dataTransfer?.types || [])].includes("Files");

/** @param {(file: File) => void} onFile @returns {boolean} whether a file is over the page */
export function useFileDrop(onFile) {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const stop = new AbortController();
    const on = (name, handle) =>
      document.addEventListener(
        name,
        (event) => {
          if (!hasFile(event) || document.querySelector("dialog[open]")) return;
          event.preventDefault();
          handle(event);
        },
        { signal: stop.signal },
      );
    on("dragover", () => setOver(true));
    on("dragleave", (event) => event.relatedTarget || setOver(false));
    on("drop", (event) => {
      setOver(false);
      if (event.dataTransfer.files[0]) onFile(event.dataTransfer.files[0]);
    });
    return () => stop.abort();
  }, []);
  return isOver;
}
