package edgedistill.app

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import edgedistill.core.BundleException
import edgedistill.core.Rgb
import edgedistill.core.orientationOfJpeg
import edgedistill.core.upright
import java.nio.ByteBuffer

/** Above so many pixels a photograph is decoded at half its sides, since few phones' memory holds it otherwise. */
private const val MOST_PIXELS = 32_000_000L

/** An encoded photograph as upright RGB: the stored numbers, without conversion of colours. */
fun decode(file: ByteArray): Rgb {
    val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
    BitmapFactory.decodeByteArray(file, 0, file.size, bounds)
    val options = BitmapFactory.Options().apply {
        inPreferredConfig = Bitmap.Config.ARGB_8888
        inPremultiplied = false
        var pixels = bounds.outWidth.toLong() * bounds.outHeight
        while (pixels > MOST_PIXELS) {
            inSampleSize = maxOf(inSampleSize, 1) * 2
            pixels /= 4
        }
    }
    val bitmap = BitmapFactory.decodeByteArray(file, 0, file.size, options)
        ?: throw BundleException("This file is not an image that Android can decode.")
    try {
        if (bitmap.config != Bitmap.Config.ARGB_8888 || bitmap.rowBytes != bitmap.width * 4) {
            throw BundleException("This image has ${bitmap.config} pixels, which are not supported. Save it as JPEG.")
        }
        // Bitmap.getPixels would convert a wide-gamut photograph to sRGB; training took the numbers as they are.
        val rgba = ByteBuffer.allocateDirect(bitmap.byteCount)
        bitmap.copyPixelsToBuffer(rgba)
        return upright(rgba, bitmap.width, bitmap.height, orientationOfJpeg(file))
    } finally {
        bitmap.recycle()
    }
}
