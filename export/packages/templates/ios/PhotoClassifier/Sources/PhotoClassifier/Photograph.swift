import CoreGraphics
import Foundation
import ImageIO
import PhotoClassifierCore

/// Python refuses images of more, too.
private let mostPixels = 178_956_970

/// An encoded photograph as upright RGB: the stored numbers, without conversion of colours.
public func decode(_ file: Data) throws -> Rgb {
    guard let source = CGImageSourceCreateWithData(file as CFData, nil),
          let image = CGImageSourceCreateImageAtIndex(source, 0, nil)
    else {
        throw BundleError("This file is not an image that this device can decode.")
    }
    let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any]
    let orientation = (properties?[kCGImagePropertyOrientation] as? NSNumber)?.intValue ?? 1
    return try decode(image, orientation: orientation)
}

/// A decoded image, such as the camera gives.
public func decode(_ image: CGImage, orientation: Int) throws -> Rgb {
    let (width, height) = (image.width, image.height)
    guard width <= mostPixels / max(height, 1) else {
        throw BundleError("This image has \(width) x \(height) pixels, more than the allowed \(mostPixels).")
    }
    // Drawn into its own colour space, an image keeps its numbers; training took them as they are.
    var space = CGColorSpaceCreateDeviceRGB()
    if let own = image.colorSpace, own.model == .rgb, own.supportsOutput {
        space = own
    }
    var rgbx = [UInt8](repeating: 255, count: width * height * 4) // white, where the image is transparent
    let isDrawn = rgbx.withUnsafeMutableBytes { buffer -> Bool in
        let context = CGContext(
            data: buffer.baseAddress, width: width, height: height, bitsPerComponent: 8, bytesPerRow: width * 4,
            space: space, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue
        )
        context?.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
        return context != nil
    }
    guard isDrawn else {
        throw BundleError("This image cannot be drawn as RGB.")
    }
    return upright(rgbx, width: width, height: height, orientation: orientation)
}
