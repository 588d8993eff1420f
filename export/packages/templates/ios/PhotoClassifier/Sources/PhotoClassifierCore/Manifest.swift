import CryptoKit
import Foundation

/// The bundle cannot be used; the message is one line for people.
public struct BundleError: Error, LocalizedError {
    public let message: String
    public var errorDescription: String? { message }

    public init(_ message: String) {
        self.message = message
    }
}

/// What of manifest.json an app uses. Keys that it does not know are ignored.
public struct Manifest: Decodable {
    public let schema_version: Int
    public let name: String
    public let classes: [String]
    public let preprocessing: Preprocessing
    public let input: InputKind
    public let inputs: [Tensor]
    public let thresholds: [Double]
    public let artifacts: [Artifact]
    public let selftest: [GoldenImage]?
}

public enum InputKind: String, Decodable {
    case uint8_nhwc, float32_nchw
}

public struct Tensor: Decodable {
    public let name: String
}

/// How an image becomes the graph's input. `mean` and `std` are for graphs that take float32.
public struct Preprocessing: Decodable {
    public enum Resize: String, Decodable {
        case squash, center_crop
    }

    public enum Interpolation: String, Decodable {
        case bilinear, bicubic
    }

    /// Height and width.
    public let size: [Int]
    public let resize: Resize?
    public let interpolation: Interpolation?
    public let mean: [Float]?
    public let std: [Float]?

    public var height: Int { size[0] }
    public var width: Int { size[1] }
}

public struct Artifact: Decodable {
    public let name: String
    public let files: [FileEntry]
    public let target: Target
    public let operating_point: OperatingPoint?

    /// Images of one inference.
    public var batch: Int { max(1, target.batch?.min ?? 1) }
}

public struct Target: Decodable {
    public struct Batch: Decodable {
        public let min: Int?
    }

    public let batch: Batch?
}

/// From an artifact's logits to its labels.
public struct OperatingPoint: Decodable {
    public let thresholds: [Double]
    public let temperature: Float
}

public struct FileEntry: Decodable {
    public let path: String
    public let sha256: String
    public let bytes: Int
}

/// A photograph that travels with the bundle, and the training framework's logits for it.
public struct GoldenImage: Decodable {
    public let file: FileEntry
    public let logits: [Double]
}

private struct Head: Decodable {
    let schema_version: Int
}

private let schemaVersion = 1
private let largestSide = 16_384

/// Reads manifest.json; refuses what this reader could not compute rightly.
public func readManifest(_ json: Data) throws -> Manifest {
    let manifest: Manifest
    do {
        let version = try JSONDecoder().decode(Head.self, from: json).schema_version
        guard version == schemaVersion else {
            throw BundleError("manifest.json: schema \(version), and this app reads \(schemaVersion).")
        }
        manifest = try JSONDecoder().decode(Manifest.self, from: json)
    } catch let error as DecodingError {
        throw BundleError("manifest.json: damaged, or of a kind that this app does not know (\(error)).")
    }
    if let found = problem(of: manifest) {
        throw BundleError("manifest.json: \(found).")
    }
    return manifest
}

/// Throws unless `data` is what the manifest lists.
public func checkFile(_ entry: FileEntry, _ data: Data) throws -> Data {
    let sha256 = SHA256.hash(data: data).map { String(format: "%02x", $0) }.joined()
    guard data.count == entry.bytes, sha256 == entry.sha256 else {
        throw BundleError("\(entry.path): its SHA-256 is not what the manifest lists. Copy the bundle again.")
    }
    return data
}

private func problem(of manifest: Manifest) -> String? {
    let count = manifest.classes.count
    let preprocessing = manifest.preprocessing
    if count == 0 || Set(manifest.classes).count < count {
        return "`classes` is empty or holds a name twice"
    }
    if preprocessing.size.count != 2 || !preprocessing.size.allSatisfy({ (1...largestSide).contains($0) }) {
        return "`preprocessing.size` is \(preprocessing.size)"
    }
    if (preprocessing.mean ?? imageNetMean).count != 3 || (preprocessing.std ?? imageNetStd).count != 3 {
        return "`preprocessing.mean` and `std` need three numbers"
    }
    if manifest.inputs.count != 1 {
        return "`inputs` holds \(manifest.inputs.count) tensors"
    }
    let points = manifest.artifacts.compactMap { $0.operating_point }
    for thresholds in [manifest.thresholds] + points.map({ $0.thresholds }) {
        if thresholds.count != count || !thresholds.allSatisfy({ (0.0...1.0).contains($0) }) {
            return "`thresholds` are not \(count) numbers within 0 and 1"
        }
    }
    if !points.allSatisfy({ (0.01...100).contains($0.temperature) }) {
        return "a temperature is not within 0.01 and 100"
    }
    if !(manifest.selftest ?? []).allSatisfy({ $0.logits.count == count }) {
        return "`selftest` has not \(count) logits for each photograph"
    }
    return nil
}

let imageNetMean: [Float] = [0.485, 0.456, 0.406]
let imageNetStd: [Float] = [0.229, 0.224, 0.225]
