import Foundation

/// Decoded pixels turned upright.
///
/// - Parameters:
///   - rgbx: four bytes a pixel, row by row; the fourth means nothing.
///   - orientation: EXIF's, 1 to 8; any other means upright.
public func upright(_ rgbx: [UInt8], width: Int, height: Int, orientation: Int) -> Rgb {
    let onItsSide = (5...8).contains(orientation)
    let mirrored = [2, 3, 7, 8].contains(orientation)
    let flipped = [3, 4, 6, 7].contains(orientation)
    let outWidth = onItsSide ? height : width
    let outHeight = onItsSide ? width : height
    var out = [UInt8](repeating: 0, count: width * height * 3)
    rgbx.withUnsafeBufferPointer { pixels in
        var place = 0
        for y in 0..<outHeight {
            for x in 0..<outWidth {
                let across = onItsSide ? y : x
                let down = onItsSide ? x : y
                let column = mirrored ? width - 1 - across : across
                let row = flipped ? height - 1 - down : down
                let at = (row * width + column) * 4
                out[place] = pixels[at]
                out[place + 1] = pixels[at + 1]
                out[place + 2] = pixels[at + 2]
                place += 3
            }
        }
    }
    return Rgb(width: outWidth, height: outHeight, pixels: out)
}

/// The graph's input for one image: the pixels as they are, or float32 (3, H, W) where the bundle says so.
public func graphInput(_ image: Rgb, _ manifest: Manifest, batch: Int) -> Data {
    var one = Data(image.pixels)
    if manifest.input == .float32_nchw {
        one = normalized(image, manifest.preprocessing).withUnsafeBytes { Data($0) }
    }
    var all = Data(capacity: one.count * batch)
    for _ in 0..<batch {
        all.append(one)
    }
    return all
}

private func normalized(_ image: Rgb, _ to: Preprocessing) -> [Float] {
    let mean = to.mean ?? imageNetMean
    let std = to.std ?? imageNetStd
    let plane = image.width * image.height
    var out = [Float](repeating: 0, count: plane * 3)
    for channel in 0..<3 {
        let scale = 1 / (255 * std[channel])
        let shift = mean[channel] / std[channel]
        for i in 0..<plane {
            out[channel * plane + i] = Float(image.pixels[i * 3 + channel]) * scale - shift
        }
    }
    return out
}
