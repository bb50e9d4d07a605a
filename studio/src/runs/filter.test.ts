import * as fc from "fast-check";
import { expect, test } from "vitest";
import { type Clause, FilterError, forCollector, parseFilter, parseTyped, printFilter } from "./filter";

test("a filter is read as its conditions", () => {
  const text = "metrics.loss < 0.5 AND params.`learning rate` = '0.1' AND status IN ('Failed', 'Canceled') AND tags.team IS NOT NULL";
  expect(parseFilter(text)).toEqual([
    { entity: "metric", key: "loss", comparator: "<", values: ["0.5"] },
    { entity: "param", key: "learning rate", comparator: "=", values: ["0.1"] },
    { entity: "attribute", key: "status", comparator: "IN", values: ["Failed", "Canceled"] },
    { entity: "tag", key: "team", comparator: "IS NOT NULL", values: [] },
  ]);
  expect(printFilter(parseFilter(text))).toBe(text);
});

test("a length of time becomes a moment", () => {
  expect(forCollector(parseFilter("created > -24h AND number = 3"), 100_000_000)).toBe("created > 13600000 AND number = 3");
});

test("a word alone is looked for in names", () => {
  expect(parseTyped(" resnet 50 ")).toEqual([{ entity: "attribute", key: "name", comparator: "ILIKE", values: ["%resnet 50%"] }]);
  expect(parseTyped("user = 'ada'")).toEqual([{ entity: "attribute", key: "user", comparator: "=", values: ["ada"] }]);
});

test.each(["user = ada", "a.b = 'c'", "status", "= 3", "user = 'a' OR user = 'b'", "user ~ 'x'"])("%s is refused with a sentence", (text) => {
  expect(() => parseFilter(text)).toThrow(FilterError);
});

const value = fc.string({ maxLength: 20 }).filter((text) => !(text.includes("'") && text.includes('"')) && !text.includes("\0"));
const key = fc.string({ minLength: 1, maxLength: 12 }).filter((text) => !/[`"\0]/.test(text));
const clause: fc.Arbitrary<Clause> = fc.oneof(
  fc.record({ entity: fc.constantFrom("param" as const, "tag" as const), key, comparator: fc.constantFrom("=", "!=", "LIKE"), values: fc.tuple(value) }),
  fc.record({
    entity: fc.constant("metric" as const),
    key,
    comparator: fc.constantFrom("<", ">="),
    values: fc.tuple(fc.double({ noNaN: true, noDefaultInfinity: true }).map(String)),
  }),
  fc.record({
    entity: fc.constant("attribute" as const),
    key: fc.constantFrom("status", "user"),
    comparator: fc.constantFrom("IN", "NOT IN"),
    values: fc.array(fc.string({ maxLength: 9 }), { minLength: 1, maxLength: 4 }),
  }),
);

test("what is printed is read as the same", () => {
  fc.assert(
    fc.property(fc.array(clause, { maxLength: 5 }), (clauses) => {
      expect(parseFilter(printFilter(clauses))).toEqual(clauses);
    }),
  );
});

test("whatever is typed, it is read or refused with a sentence", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        parseTyped(text);
      } catch (error) {
        expect(error).toBeInstanceOf(FilterError);
      }
    }),
  );
});
