import Foundation

/// 8-bit RGB pixels, row by row.
public struct Rgb {
    public let width: Int
    public let height: Int
    public let pixels: [UInt8]

    public init(width: Int, height: Int, pixels: [UInt8]) {
        self.width = width
        self.height = height
        self.pixels = pixels
    }
}

/// Resizes as Pillow does, which trained the network: an antialiased filter, whose kernel widens with the scale, in fixed
/// point of 22 bits. Core Graphics and vImage filter otherwise.
public func resize(_ image: Rgb, to: Preprocessing) -> Rgb {
    if image.width == to.width && image.height == to.height {
        return image
    }
    let box = to.resize == .center_crop ? centre(of: image, for: to) : whole(image)
    let bicubic = to.interpolation == .bicubic
    let across = Weights(stored: image.width, start: box.left, end: box.right, wanted: to.width, bicubic: bicubic)
    let down = Weights(stored: image.height, start: box.top, end: box.bottom, wanted: to.height, bicubic: bicubic)
    let isAcross = to.width != image.width || box.left != 0 || box.right != Float(to.width)
    let isDown = to.height != image.height || box.top != 0 || box.bottom != Float(to.height)
    if !isAcross || !isDown {
        return isAcross ? horizontal(image, across) : isDown ? vertical(image, down) : image
    }
    // Pillow from version 13 on; before, always across first.
    let isDownFirst = to.height < image.height && image.height - to.height > 2 * (image.width - to.width)
    return isDownFirst ? horizontal(vertical(image, down), across) : vertical(horizontal(image, across), down)
}

/// Pillow keeps the edges of what it cuts in float32.
private struct Box {
    let left: Float
    let top: Float
    let right: Float
    let bottom: Float
}

private func whole(_ image: Rgb) -> Box {
    Box(left: 0, top: 0, right: Float(image.width), bottom: Float(image.height))
}

/// The largest part of the wanted aspect, in the middle, as Pillow's ImageOps.fit has it: not rounded to pixels.
private func centre(of image: Rgb, for to: Preprocessing) -> Box {
    let own = Double(image.width) / Double(image.height)
    let wanted = Double(to.width) / Double(to.height)
    let width = own > wanted ? wanted * Double(image.height) : Double(image.width)
    let height = own < wanted ? Double(image.width) / wanted : Double(image.height)
    let left = (Double(image.width) - width) * 0.5
    let top = (Double(image.height) - height) * 0.5
    return Box(left: Float(left), top: Float(top), right: Float(left + width), bottom: Float(top + height))
}

private let precisionBits: Int32 = 22
private let half: Int32 = 1 << 21

/// Of each output pixel along one axis: the first input pixel, and the weights of it and those after it.
private struct Weights {
    var first: [Int] = []
    var of: [[Int32]] = []

    init(stored: Int, start: Float, end: Float, wanted: Int, bicubic: Bool) {
        let scale = Double(end - start) / Double(wanted)
        let spread = max(scale, 1.0)
        let reach = spread * (bicubic ? 2.0 : 1.0)
        let longest = Int(reach.rounded(.up)) * 2 + 1
        let inverse = 1.0 / spread
        for i in 0..<wanted {
            let centre = Double(start) + (Double(i) + 0.5) * scale
            let from = max(0, Int(centre - reach + 0.5))
            let until = min(stored, Int(centre + reach + 0.5))
            let exact: [Double] = (0..<max(0, min(until - from, longest))).map { j in
                let x = (Double(j + from) - centre + 0.5) * inverse
                return bicubic ? cubic(x) : triangle(x)
            }
            let sum = exact.reduce(0, +)
            first.append(from)
            of.append(exact.map { weight in
                let share = (sum != 0 ? weight / sum : weight) * Double(1 << precisionBits)
                return Int32(weight < 0 ? share - 0.5 : share + 0.5)
            })
        }
    }
}

private func triangle(_ x: Double) -> Double {
    max(0.0, 1.0 - abs(x))
}

private func cubic(_ signed: Double) -> Double {
    let a = -0.5
    let x = abs(signed)
    if x < 1.0 {
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    }
    return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * a : 0.0
}

private func horizontal(_ image: Rgb, _ weights: Weights) -> Rgb {
    let width = weights.of.count
    var out = [UInt8](repeating: 0, count: width * image.height * 3)
    image.pixels.withUnsafeBufferPointer { pixels in
        var place = 0
        for y in 0..<image.height {
            for x in 0..<width {
                var at = (y * image.width + weights.first[x]) * 3
                var red = half
                var green = half
                var blue = half
                for weight in weights.of[x] {
                    red &+= Int32(pixels[at]) &* weight
                    green &+= Int32(pixels[at + 1]) &* weight
                    blue &+= Int32(pixels[at + 2]) &* weight
                    at += 3
                }
                out[place] = clipped(red)
                out[place + 1] = clipped(green)
                out[place + 2] = clipped(blue)
                place += 3
            }
        }
    }
    return Rgb(width: width, height: image.height, pixels: out)
}

private func vertical(_ image: Rgb, _ weights: Weights) -> Rgb {
    let height = weights.of.count
    let row = image.width * 3
    var out = [UInt8](repeating: 0, count: row * height)
    image.pixels.withUnsafeBufferPointer { pixels in
        for y in 0..<height {
            let top = weights.first[y] * row
            for x in 0..<row {
                var sum = half
                var at = top + x
                for weight in weights.of[y] {
                    sum &+= Int32(pixels[at]) &* weight
                    at += row
                }
                out[y * row + x] = clipped(sum)
            }
        }
    }
    return Rgb(width: image.width, height: height, pixels: out)
}

private func clipped(_ sum: Int32) -> UInt8 {
    UInt8(min(max(sum >> precisionBits, 0), 255))
}
