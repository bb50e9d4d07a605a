import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { TableRun } from "../api/table";
import { Level, PAGE, locate, pagesOf } from "./tree";

function run(id: string): TableRun {
  return { run_id: id } as TableRun;
}

test("rows below an open one stand behind it, and move the others on", () => {
  const root = new Level(null, 10);
  const below = new Level("r2", 3);
  root.open.set("r2", { index: 2, level: below });
  expect(root.length).toBe(13);
  const places = Array.from({ length: 13 }, (_, at) => locate(root, at));
  expect(places.map(({ level, index }) => (level === below ? `child ${index}` : index))).toEqual([
    0, 1, 2, "child 0", "child 1", "child 2", 3, 4, 5, 6, 7, 8, 9,
  ]);
  expect(places[3]?.depth).toBe(2);
});

test("every row of any tree stands in one place", () => {
  const size = fc.integer({ min: 1, max: 30 });
  fc.assert(
    fc.property(size, fc.uniqueArray(fc.nat(29), { maxLength: 6 }), size, (total, opened, children) => {
      const root = new Level(null, total);
      for (const index of opened.filter((at) => at < total)) root.open.set(`r${index}`, { index, level: new Level(`r${index}`, children) });
      const seen = Array.from({ length: root.length }, (_, at) => locate(root, at)).map(({ level, index }) => `${level.parent} ${index}`);
      expect(new Set(seen).size).toBe(root.length);
    }),
  );
});

test("what looks as before stays the same object, and what is open is found where it has moved", () => {
  const root = new Level(null, 2);
  root.put(0, [run("a"), run("b")], 2);
  const [a] = [root.at(0)];
  root.open.set("a", { index: 0, level: new Level("a", 1) });
  root.put(0, [run("new"), run("a"), run("b")], 3);
  expect(root.at(1)).toBe(a);
  expect(locate(root, 2)).toMatchObject({ index: 0, depth: 2 });
});

test("the pages of what is seen are told, those of open rows, too", () => {
  const root = new Level(null, 1000);
  const below = new Level("r", 500);
  root.open.set("r", { index: 150, level: below });
  expect(pagesOf(root, 140, 160)).toEqual([
    { level: root, page: 1 },
    { level: below, page: 0 },
  ]);
  expect(pagesOf(root, 20 * PAGE, 20 * PAGE + 10)).toEqual([]);
});
