// How the page looks. Colours are in style.css, for both schemes.
import { css } from "lit";

export const look = css`
  :host { display: block; }
  * { box-sizing: border-box; }
  main { max-width: 44rem; margin: 0 auto; padding: clamp(1.5rem, 7vh, 5rem) 1.25rem 3rem; }
  header { display: grid; justify-items: center; text-align: center; margin-bottom: clamp(1.25rem, 4vh, 2.5rem); }
  header svg { width: 3.5rem; height: 3.5rem; }
  .cap { fill: var(--cap); }
  .stem { fill: var(--stem); }
  h1 { font-size: clamp(2rem, 6vw, 3rem); line-height: 1.1; letter-spacing: -0.03em; margin: 0.6rem 0 0; text-wrap: balance; }
  .lead { color: var(--quiet); margin: 0.5rem 0 0; text-wrap: balance; }
  h2 { font-size: 1.05rem; margin: 0; }

  .card { background: var(--card); border: 1px solid var(--line); border-radius: 1.1rem; box-shadow: var(--shadow); padding: clamp(1rem, 3vw, 1.5rem); }
  label, .label { display: block; font-weight: 600; font-size: 0.92rem; margin-bottom: 0.35rem; }
  .hint { font-weight: 400; color: var(--quiet); }
  input, select, button { font: inherit; border-radius: 0.7rem; min-height: 3rem; }
  input, select { width: 100%; min-width: 0; padding: 0.55rem 0.85rem; color: inherit; background: var(--card); border: 1px solid var(--edge); }
  input::placeholder { color: var(--quiet); opacity: 0.85; }
  input[aria-invalid="true"] { border-color: var(--bad); box-shadow: 0 0 0 1px var(--bad); }
  .row { display: flex; gap: 0.6rem; }
  .row input { flex: 1; }
  button { cursor: pointer; font-weight: 650; padding: 0.5rem 1.25rem; border: 1px solid transparent; background: var(--brand); color: var(--brand-ink); transition: background 0.15s, border-color 0.15s; }
  button[aria-disabled="true"] { cursor: progress; opacity: 0.75; }
  button.plain { background: transparent; color: var(--brand); border-color: var(--line); min-height: 2.5rem; padding: 0.3rem 0.95rem; }
  :is(input, select, button, a, summary):focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }

  select { appearance: none; padding-right: 2.4rem; background-repeat: no-repeat; background-size: 6px 6px;
    background-position: right 21px center, right 15px center;
    background-image: linear-gradient(45deg, transparent 50%, var(--quiet) 50%), linear-gradient(135deg, var(--quiet) 50%, transparent 50%); }
  option { background: var(--card); color: var(--ink); }

  details { margin-top: 0.9rem; }
  summary { cursor: pointer; width: fit-content; color: var(--quiet); border-radius: 0.4rem; padding: 0.15rem 0.3rem; margin-left: -0.3rem; }
  .options { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 0.9rem; padding-top: 0.7rem; }
  .error { display: flex; gap: 0.5rem; color: var(--bad); background: var(--bad-soft); border-radius: 0.7rem; padding: 0.6rem 0.85rem; margin: 0.9rem 0 0; font-weight: 600; overflow-wrap: anywhere; }
  .error:empty { display: none; }

  .result { display: flex; gap: 1.25rem; align-items: center; margin-top: 1.1rem; border-color: var(--brand); animation: rise 0.25s ease-out; }
  .told { min-width: 0; flex: 1; }
  .qr { flex: none; width: 8rem; background: #fff; border: 1px solid var(--line); border-radius: 0.7rem; overflow: hidden; line-height: 0; margin: 0; }
  .qr svg { width: 100%; height: auto; }
  .short { font-size: clamp(1.1rem, 3.4vw, 1.35rem); font-weight: 700; letter-spacing: -0.01em; overflow-wrap: anywhere; }
  a { color: var(--brand); text-underline-offset: 0.18em; border-radius: 0.2rem; }
  .target { color: var(--quiet); font-size: 0.9rem; margin: 0.15rem 0 0; overflow: hidden; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; line-clamp: 2; word-break: break-all; }
  .acts { display: flex; flex-wrap: wrap; gap: 0.5rem; margin-top: 0.8rem; }
  .acts button:first-child { min-height: 2.5rem; padding: 0.3rem 1.2rem; min-width: 7rem; }
  @keyframes rise { from { opacity: 0; transform: translateY(0.4rem); } }

  .yours { margin-top: 2.5rem; }
  .bar { display: flex; align-items: center; justify-content: space-between; gap: 1rem; margin-bottom: 0.6rem; }
  ul { list-style: none; margin: 0; padding: 0; overflow: hidden; }
  li { display: grid; grid-template-columns: 1fr auto auto; gap: 0 1rem; align-items: center; padding: 0.7rem 0 0.7rem clamp(1rem, 3vw, 1.5rem); }
  ul.card { padding: 0; }
  li + li { border-top: 1px solid var(--line); }
  li > div { min-width: 0; }
  li a { font-weight: 650; overflow-wrap: anywhere; }
  li .target { display: block; white-space: nowrap; text-overflow: ellipsis; margin: 0; }
  li .ended { color: var(--quiet); font-weight: 650; text-decoration: line-through; }
  .visits { margin: 0; text-align: right; font-variant-numeric: tabular-nums; line-height: 1.2; }
  .visits b { display: block; font-size: 1.15rem; }
  .visits span { color: var(--quiet); font-size: 0.8rem; }
  .away { min-height: 2.75rem; width: 2.75rem; padding: 0; margin-right: 0.4rem; background: transparent; color: var(--quiet); font-size: 1.2rem; font-weight: 400; }
  .empty { text-align: center; color: var(--quiet); margin: 2.5rem 0 0; }
  footer { text-align: center; color: var(--quiet); font-size: 0.85rem; margin-top: 3rem; }
  .unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

  @media (hover: hover) {
    button:hover { background: var(--brand-strong); }
    button.plain:hover { background: var(--brand-soft); border-color: var(--brand); }
    button.away:hover { background: var(--bad-soft); color: var(--bad); }
    a:hover { color: var(--brand-strong); }
    summary:hover { color: var(--brand); }
  }
  @media (max-width: 34rem) {
    .row, .result { flex-direction: column; align-items: stretch; }
    .qr { width: 10rem; align-self: center; order: 2; }
    .acts button { flex: 1; }
    li { gap: 0 0.6rem; }
  }
  @media (prefers-reduced-motion: reduce) { .result { animation: none; } button { transition: none; } }
`;
