/** The bundle's own photographs: does this machine decode, resize and compute as the training framework did? */

const FLOOR = 1e-3;
const FLOOR_SHARE = 1e-4;
const MARGIN = 3;
const MEAN_MARGIN = 1.5;
const AS_MEASURED = 1.05;
const AT_MOST = 1.25;
const SHARES = { fp32: 1e-4, fp16: 3e-2, bf16: 2e-1, int8: 3e-1 };

/** How far a logit may be off here, at most and on average: as `edgedistill selftest` allows it. */
export function tolerances(artifact, expected) {
  const all = expected.flat();
  const spread =
    all.reduce((most, value) => Math.max(most, value), -Infinity) -
    all.reduce((least, value) => Math.min(least, value), Infinity);
  const floor = Math.max(FLOOR, FLOOR_SHARE * spread);
  const built = Math.max(floor, (SHARES[artifact.target.precision] ?? SHARES.fp32) * spread);
  const { max_abs_logit: largest, golden_mean_abs_logit: mean } = artifact.parity ?? {};
  if (largest === undefined) return { largest: built, mean: null };
  const asMeasured = Math.min(AS_MEASURED * largest, AT_MOST * built);
  return {
    largest: Math.max(floor, Math.min(built, MARGIN * largest), asMeasured),
    mean: mean === undefined || mean === null ? null : Math.max(floor, MEAN_MARGIN * mean),
  };
}

/** See `Model.selftest`. */
export async function selftest(model) {
  const golden = model.manifest.selftest ?? [];
  const allowed = tolerances(
    model.artifact,
    golden.map((one) => one.logits),
  );
  const images = [];
  let sum = 0;
  for (const { file, logits: expected } of golden) {
    const image = await model.prepare(await model.bundle.read(file));
    const [{ logits }] = await model.infer([image]);
    const differences = expected.map((value, i) => Math.abs(value - logits[i]));
    const largest = differences.reduce((most, value) => (value > most || Number.isNaN(value) ? value : most), 0);
    sum += differences.reduce((total, value) => total + value, 0) / differences.length;
    images.push({ file: file.path, largest, passed: largest <= allowed.largest });
  }
  const mean = golden.length ? sum / golden.length : 0;
  const near = allowed.mean === null || mean <= allowed.mean;
  return {
    artifact: model.artifact.name,
    passed: golden.length > 0 && near && images.every((image) => image.passed),
    tolerance: allowed.largest,
    meanTolerance: allowed.mean,
    mean,
    images,
  };
}
