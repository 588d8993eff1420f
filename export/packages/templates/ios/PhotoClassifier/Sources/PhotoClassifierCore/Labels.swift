import Foundation

/// A class, its probability, and whether that reaches the class's threshold.
public struct Label: Identifiable {
    public let name: String
    public let probability: Float
    public let isPresent: Bool
    public var id: String { name }
}

/// All classes, the most probable first, of what the graph gave for one image.
public func labels(
    _ manifest: Manifest, _ artifact: Artifact, logits: [Float], probabilities: [Float]
) throws -> [Label] {
    var values = probabilities
    var thresholds = manifest.thresholds
    if let point = artifact.operating_point {
        values = logits.map { sigmoid($0 / point.temperature) }
        thresholds = point.thresholds
    }
    guard values.count == manifest.classes.count, values.allSatisfy({ $0.isFinite }) else {
        throw BundleError("\(artifact.name): its outputs are not \(manifest.classes.count) numbers.")
    }
    // Equal ones stay in the manifest's order.
    let order = values.indices.sorted { (values[$1], $0) < (values[$0], $1) }
    return order.map { place in
        Label(
            name: manifest.classes[place],
            probability: values[place],
            isPresent: Double(values[place]) >= thresholds[place]
        )
    }
}

private func sigmoid(_ logit: Float) -> Float {
    let decay = exp(-abs(logit))
    return (logit >= 0 ? 1 : decay) / (1 + decay)
}

/// What a self-test allows of logits: the largest and, where export measured it, the mean difference.
public struct Tolerance: Decodable {
    public let name: String
    public let largest: Double
    public let mean: Double?
}

/// Largest and mean difference of the golden photographs' logits, and whether both are within what is allowed.
public struct SelfTest {
    public let largest: Double
    public let mean: Double
    public let passed: Bool

    public init(expected: [[Double]], given: [[Float]], allowed: Tolerance) {
        let differences = zip(expected, given).flatMap { pair in
            zip(pair.0, pair.1).map { abs($0 - Double($1)) }
        }
        let isNumber = !differences.isEmpty && differences.allSatisfy { $0.isFinite }
        largest = isNumber ? differences.max() ?? .nan : .nan
        mean = isNumber ? differences.reduce(0, +) / Double(differences.count) : .nan
        passed = largest <= allowed.largest && mean <= allowed.mean ?? .infinity
    }
}
