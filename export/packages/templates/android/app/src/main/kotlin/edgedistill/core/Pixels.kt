package edgedistill.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * Decoded pixels, turned upright and without transparency.
 *
 * @param rgba four bytes a pixel, row by row; alpha is not multiplied in.
 * @param orientation EXIF's, 1 to 8.
 */
fun upright(rgba: ByteBuffer, width: Int, height: Int, orientation: Int): Rgb {
    val onItsSide = orientation >= 5
    val mirrored = orientation in setOf(2, 3, 7, 8)
    val flipped = orientation in setOf(3, 4, 6, 7)
    val outWidth = if (onItsSide) height else width
    val outHeight = if (onItsSide) width else height
    val out = ByteArray(width * height * 3)
    var place = 0
    for (y in 0 until outHeight) {
        for (x in 0 until outWidth) {
            val across = if (onItsSide) y else x
            val down = if (onItsSide) x else y
            val column = if (mirrored) width - 1 - across else across
            val row = if (flipped) height - 1 - down else down
            val at = (row * width + column) * 4
            val alpha = rgba.get(at + 3).toInt() and 255
            for (channel in 0 until 3) {
                val value = rgba.get(at + channel).toInt() and 255
                out[place++] = (if (alpha == 255) value else onWhite(value, alpha)).toByte()
            }
        }
    }
    return Rgb(outWidth, outHeight, out)
}

/** What a screen shows of an image: ARGB, one of so many pixels that no side is longer than it may be. */
class Preview(val width: Int, val height: Int, val argb: IntArray)

fun preview(image: Rgb, longest: Int): Preview {
    val step = maxOf(1, (maxOf(image.width, image.height) + longest - 1) / longest)
    val width = (image.width + step - 1) / step
    val height = (image.height + step - 1) / step
    val argb = IntArray(width * height) {
        val at = (it / width * step * image.width + it % width * step) * 3
        fun level(channel: Int) = image.pixels[at + channel].toInt() and 255
        (255 shl 24) or (level(0) shl 16) or (level(1) shl 8) or level(2)
    }
    return Preview(width, height, argb)
}

private fun onWhite(value: Int, alpha: Int): Int = (value * alpha + 255 * (255 - alpha) + 127) / 255

private const val ORIENTATION = 0x0112
private const val SHORT = 3
private const val LONG = 4

/** The EXIF orientation of a JPEG file, 1 to 8; 1 also where it has none, or a damaged one. */
fun orientationOfJpeg(file: ByteArray): Int {
    var at = 2
    if (file.size < 4 || file[0] != 0xFF.toByte() || file[1] != 0xD8.toByte()) return 1
    while (at + 4 <= file.size && file[at] == 0xFF.toByte()) {
        val marker = file[at + 1].toInt() and 255
        if (marker == 0xFF) {
            at += 1
            continue
        }
        if (marker == 0xDA || marker == 0xD9) return 1
        val length = (file[at + 2].toInt() and 255 shl 8) or (file[at + 3].toInt() and 255)
        val start = at + 4
        val end = minOf(at + 2 + length, file.size)
        if (marker == 0xE1 && end - start > 6 && String(file, start, 6, Charsets.ISO_8859_1) == "Exif\u0000\u0000") {
            return orientationOf(file.copyOfRange(start + 6, end))
        }
        at += 2 + length
    }
    return 1
}

/** The same of an EXIF block, which is a TIFF file: the first tag of that number in its first directory. */
fun orientationOf(tiff: ByteArray): Int {
    if (tiff.size < 8) return 1
    val order = when (String(tiff, 0, 4, Charsets.ISO_8859_1)) {
        "II*\u0000" -> ByteOrder.LITTLE_ENDIAN
        "MM\u0000*" -> ByteOrder.BIG_ENDIAN
        else -> return 1
    }
    val data = ByteBuffer.wrap(tiff).order(order)
    try {
        val start = data.getInt(4)
        val count = data.getShort(start).toInt() and 0xFFFF
        for (i in 0 until count) {
            val at = start + 2 + 12 * i
            if (data.getShort(at).toInt() and 0xFFFF != ORIENTATION) continue
            val kind = data.getShort(at + 2).toInt()
            if (data.getInt(at + 4) != 1 || (kind != SHORT && kind != LONG)) return 1
            val value = if (kind == SHORT) data.getShort(at + 8).toInt() else data.getInt(at + 8)
            return if (value in 1..8) value else 1
        }
    } catch (_: IndexOutOfBoundsException) {
        return 1 // the block ends within its directory
    }
    return 1
}
