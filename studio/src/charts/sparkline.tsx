// A metric's course in the height of a line of text.

import { numberOf, type Sampled } from "./series";

const WIDTH = 110;
const HEIGHT = 22;

export function Sparkline({ series }: { series: Sampled | undefined }) {
  return (
    <svg class="sparkline" width={WIDTH} height={HEIGHT} aria-hidden="true">
      {series && <path d={pathOf(series)} />}
    </svg>
  );
}

function pathOf(series: Sampled): string {
  const ys = series.is_sampled ? series.last : series.value.map(numberOf);
  const drawn = ys.filter((y): y is number => y !== null && Number.isFinite(y));
  if (!drawn.length) return "";
  const [low, high] = [Math.min(...drawn), Math.max(...drawn)];
  const [from, to] = [Math.min(...series.x), Math.max(...series.x)];
  const x = (value: number) => (from === to ? WIDTH / 2 : 2 + ((value - from) / (to - from)) * (WIDTH - 4));
  const y = (value: number) => (low === high ? HEIGHT / 2 : HEIGHT - 2 - ((value - low) / (high - low)) * (HEIGHT - 4));
  let isDown = false;
  let path = "";
  ys.forEach((value, place) => {
    if (value === null || !Number.isFinite(value)) {
      isDown = false;
      return;
    }
    const goesOn = isDown && series.x[place]! >= series.x[place - 1]!;
    path += `${goesOn ? "L" : "M"}${x(series.x[place]!).toFixed(1)},${y(value).toFixed(1)}${drawn.length === 1 ? "h0.1" : ""}`;
    isDown = true;
  });
  return path;
}
