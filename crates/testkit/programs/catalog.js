// See README.md.
'use strict';
const fs = require('fs');

const BLOCK = 4096;
const MIB = 1 << 20;
const ROUNDS_A_SECOND = 100;
const kept = [];

/// Without going back to the event loop: the stack stays as it is.
function sleep(milliseconds) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

function pauseAfter(work, done) {
  if (work.pauses && done % (MIB / 4) === 0) sleep(2);
}

function settle(work, blocks) {
  if (work.keeps) kept.push(blocks);
}

function parseJson(work) {
  const blocks = [];
  for (let done = 0; done < work.bytes; done += BLOCK) {
    blocks.push(Buffer.alloc(BLOCK, '{'));
    pauseAfter(work, done);
  }
  settle(work, blocks);
}

function buildIndex(work) {
  const blocks = [];
  for (let done = 0; done < work.bytes; done += BLOCK) {
    blocks.push(Buffer.alloc(BLOCK, '#'));
    pauseAfter(work, done);
  }
  settle(work, blocks);
}

function fillCache(work) {
  const blocks = [];
  for (let done = 0; done < work.bytes; done += BLOCK) {
    blocks.push(Buffer.alloc(BLOCK, '='));
    pauseAfter(work, done);
  }
  settle(work, blocks);
}

function loadCatalog(name, bytes, leaks) {
  let found = false;
  for (const run of [parseJson, buildIndex, fillCache]) {
    const chosen = run.name === name;
    if (chosen || leaks) run({ bytes: chosen ? bytes : 2 * bytes, keeps: chosen, pauses: !leaks });
    found = found || chosen;
  }
  return found;
}

function serve(mode, name, mib, seconds) {
  if (mode === 'grow') return loadCatalog(name, mib * MIB, false) ? 3 : 2;
  for (let round = 0; round < seconds * ROUNDS_A_SECOND; round++) {
    if (!loadCatalog(name, Math.floor((mib * MIB) / ROUNDS_A_SECOND), true)) return 2;
    sleep(1000 / ROUNDS_A_SECOND);
  }
  return 0;
}

function main() {
  const [mode, name, mib, seconds] = process.argv.slice(2);
  fs.writeSync(1, 'ready\n');
  const go = Buffer.alloc(8);
  const length = fs.readSync(0, go);
  if (go.toString('latin1', 0, length) !== 'go\n') return 2;
  return serve(mode, name, Number(mib), Number(seconds || 0));
}

process.exit(main());
