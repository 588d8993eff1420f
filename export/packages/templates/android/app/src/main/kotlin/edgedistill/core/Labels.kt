package edgedistill.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs
import kotlin.math.exp

/** A class, its probability, and whether that reaches the class's threshold. */
class Label(val name: String, val probability: Float, val isPresent: Boolean)

/** All classes, the most probable first, of what the graph gave for one image. */
fun labels(manifest: Manifest, artifact: Artifact, logits: FloatArray, probabilities: FloatArray): List<Label> {
    val point = artifact.operatingPoint
    val values = if (point == null) probabilities else FloatArray(logits.size) { sigmoid(logits[it] / point.temperature) }
    val thresholds = point?.thresholds ?: manifest.thresholds
    if (values.size != manifest.classes.size || values.any { !it.isFinite() }) {
        throw BundleException("${artifact.name}: its outputs are not ${manifest.classes.size} numbers.")
    }
    return values.indices.sortedByDescending { values[it] }
        .map { Label(manifest.classes[it], values[it], values[it].toDouble() >= thresholds[it]) }
}

/** What is allowed of [logits] in a self-test: the largest and, where export measured it, the mean difference. */
class Tolerance(val largest: Double, val mean: Double?)

/** Largest and mean difference of the logits of the golden photographs, and whether both are within what is allowed. */
class SelfTest(expected: List<DoubleArray>, given: List<FloatArray>, allowed: Tolerance) {
    val largest: Double
    val mean: Double
    val passed: Boolean

    init {
        val differences = expected.zip(given).flatMap { (a, b) -> a.indices.map { abs(a[it] - b[it]) } }
        largest = if (differences.any { it.isNaN() }) Double.NaN else differences.max()
        mean = differences.average()
        passed = largest <= allowed.largest && (allowed.mean == null || mean <= allowed.mean)
    }
}

/** The graph's input for one image: the pixels as they are, or float32 (3, H, W) where the bundle says so. */
fun graphInput(image: Rgb, manifest: Manifest, batch: Int): ByteBuffer {
    val one = if (manifest.float32) normalized(image, manifest.preprocessing) else image.pixels
    val all = ByteBuffer.allocateDirect(one.size * batch).order(ByteOrder.nativeOrder())
    repeat(batch) { all.put(one) }
    all.rewind()
    return all
}

private fun normalized(image: Rgb, to: Preprocessing): ByteArray {
    val plane = image.width * image.height
    val out = ByteBuffer.allocate(plane * 3 * 4).order(ByteOrder.nativeOrder())
    for (channel in 0 until 3) {
        val scale = 1f / (255f * to.std[channel])
        val shift = to.mean[channel] / to.std[channel]
        for (i in 0 until plane) out.putFloat((image.pixels[i * 3 + channel].toInt() and 255) * scale - shift)
    }
    return out.array()
}

private fun sigmoid(logit: Float): Float {
    val decay = exp(-abs(logit))
    return (if (logit >= 0) 1f else decay) / (1f + decay)
}
