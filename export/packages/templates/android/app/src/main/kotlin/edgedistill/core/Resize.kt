package edgedistill.core

import kotlin.math.abs
import kotlin.math.ceil

/** 8-bit RGB pixels, row by row. */
class Rgb(val width: Int, val height: Int, val pixels: ByteArray)

/**
 * Resizes as Pillow does, which trained the network: an antialiased filter, whose kernel widens with the scale, in fixed
 * point of 22 bits. Most image views and canvases of a phone do not filter so.
 */
fun resize(image: Rgb, to: Preprocessing): Rgb {
    if (image.width == to.width && image.height == to.height) return image
    val box = if (to.centerCrop) centre(image, to) else Box(0f, 0f, image.width.toFloat(), image.height.toFloat())
    val across = Weights(image.width, box.left, box.right, to.width, to.bicubic)
    val down = Weights(image.height, box.top, box.bottom, to.height, to.bicubic)
    val isAcross = to.width != image.width || box.left != 0f || box.right != to.width.toFloat()
    val isDown = to.height != image.height || box.top != 0f || box.bottom != to.height.toFloat()
    if (!isAcross || !isDown) return if (isAcross) horizontal(image, across) else if (isDown) vertical(image, down) else image
    // Pillow from version 13 on; before, always across first.
    val isDownFirst = to.height < image.height && image.height - to.height > 2L * (image.width - to.width)
    return if (isDownFirst) horizontal(vertical(image, down), across) else vertical(horizontal(image, across), down)
}

/** Pillow keeps the edges of what it cuts in float32. */
private class Box(val left: Float, val top: Float, val right: Float, val bottom: Float)

/** The largest part of the wanted aspect, in the middle, as Pillow's ImageOps.fit has it: not rounded to pixels. */
private fun centre(image: Rgb, to: Preprocessing): Box {
    val own = image.width.toDouble() / image.height
    val wanted = to.width.toDouble() / to.height
    val width = if (own > wanted) wanted * image.height else image.width.toDouble()
    val height = if (own < wanted) image.width / wanted else image.height.toDouble()
    val left = (image.width - width) * 0.5
    val top = (image.height - height) * 0.5
    return Box(left.toFloat(), top.toFloat(), (left + width).toFloat(), (top + height).toFloat())
}

private const val PRECISION_BITS = 22
private const val HALF = 1 shl (PRECISION_BITS - 1)

/** Of each output pixel along one axis: the first input pixel, and the weights of it and those after it. */
private class Weights(stored: Int, start: Float, end: Float, wanted: Int, bicubic: Boolean) {
    val first = IntArray(wanted)
    val of: Array<IntArray>

    init {
        val scale = (end - start).toDouble() / wanted
        val spread = maxOf(scale, 1.0)
        val reach = spread * if (bicubic) 2.0 else 1.0
        val longest = ceil(reach).toInt() * 2 + 1
        val inverse = 1.0 / spread
        of = Array(wanted) { i ->
            val centre = start + (i + 0.5) * scale
            val from = maxOf(0, (centre - reach + 0.5).toInt())
            val until = minOf(stored, (centre + reach + 0.5).toInt())
            first[i] = from
            val exact = DoubleArray(minOf(until - from, longest)) {
                val x = (it + from - centre + 0.5) * inverse
                if (bicubic) cubic(x) else triangle(x)
            }
            var sum = 0.0
            for (weight in exact) sum += weight
            IntArray(exact.size) {
                val share = (if (sum != 0.0) exact[it] / sum else exact[it]) * (1 shl PRECISION_BITS)
                (if (exact[it] < 0) share - 0.5 else share + 0.5).toInt()
            }
        }
    }
}

private fun triangle(x: Double): Double = maxOf(0.0, 1.0 - abs(x))

private const val A = -0.5

private fun cubic(signed: Double): Double {
    val x = abs(signed)
    return when {
        x < 1.0 -> ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
        x < 2.0 -> (((x - 5.0) * x + 8.0) * x - 4.0) * A
        else -> 0.0
    }
}

private fun horizontal(image: Rgb, weights: Weights): Rgb {
    val width = weights.of.size
    val out = ByteArray(width * image.height * 3)
    var place = 0
    for (y in 0 until image.height) {
        for (x in 0 until width) {
            val kernel = weights.of[x]
            var at = (y * image.width + weights.first[x]) * 3
            var red = HALF
            var green = HALF
            var blue = HALF
            for (weight in kernel) {
                red += (image.pixels[at].toInt() and 255) * weight
                green += (image.pixels[at + 1].toInt() and 255) * weight
                blue += (image.pixels[at + 2].toInt() and 255) * weight
                at += 3
            }
            out[place++] = clipped(red)
            out[place++] = clipped(green)
            out[place++] = clipped(blue)
        }
    }
    return Rgb(width, image.height, out)
}

private fun vertical(image: Rgb, weights: Weights): Rgb {
    val height = weights.of.size
    val row = image.width * 3
    val out = ByteArray(row * height)
    for (y in 0 until height) {
        val kernel = weights.of[y]
        val top = weights.first[y] * row
        for (x in 0 until row) {
            var sum = HALF
            var at = top + x
            for (weight in kernel) {
                sum += (image.pixels[at].toInt() and 255) * weight
                at += row
            }
            out[y * row + x] = clipped(sum)
        }
    }
    return Rgb(image.width, height, out)
}

private fun clipped(sum: Int): Byte = (sum shr PRECISION_BITS).coerceIn(0, 255).toByte()
