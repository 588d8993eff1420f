import Foundation
import OnnxRuntimeBindings
import PhotoClassifierCore

/// What a photograph shows, and how long resizing and the network took.
public struct Answer {
    public let labels: [Label]
    public let resizeMs: Double
    public let networkMs: Double
}

/// The bundle in a folder of the app. Nothing of it is used whose SHA-256 is not the manifest's.
public struct Assets {
    public let folder: URL
    public let manifest: Manifest
    /// Of the artifacts, the default first: what a self-test allows of each. edgedistill wrote them.
    public let tolerances: [Tolerance]

    private struct Facts: Decodable {
        let artifacts: [Tolerance]
    }

    public init(folder: URL) throws {
        self.folder = folder
        do {
            let bundle = folder.appendingPathComponent("bundle/manifest.json")
            manifest = try readManifest(Data(contentsOf: bundle))
            let facts = folder.appendingPathComponent("app.json")
            tolerances = try JSONDecoder().decode(Facts.self, from: Data(contentsOf: facts)).artifacts
        } catch let error as CocoaError {
            throw BundleError("The app's assets cannot be read: \(error.localizedDescription)")
        }
    }

    public func place(_ entry: FileEntry) -> URL {
        folder.appendingPathComponent("bundle").appendingPathComponent(entry.path)
    }

    public func read(_ entry: FileEntry) throws -> Data {
        guard let data = try? Data(contentsOf: place(entry)) else {
            throw BundleError("\(entry.path): not in this app's assets. Generate the app again.")
        }
        return try checkFile(entry, data)
    }
}

/// One artifact of the bundle, loaded. Use it from one thread at a time.
public final class Classifier {
    public let artifact: Artifact
    private let assets: Assets
    private let tolerance: Tolerance
    private let environment: ORTEnv
    private let session: ORTSession

    public init(_ assets: Assets, artifact name: String) throws {
        guard let artifact = assets.manifest.artifacts.first(where: { $0.name == name }),
              let tolerance = assets.tolerances.first(where: { $0.name == name }),
              let file = artifact.files.first
        else {
            throw BundleError("\(name): not in this app. Generate the app again.")
        }
        self.assets = assets
        self.artifact = artifact
        self.tolerance = tolerance
        // The library opens files by their path alone; those of an app cannot change meanwhile.
        for one in artifact.files {
            _ = try assets.read(one)
        }
        environment = try ORTEnv(loggingLevel: ORTLoggingLevel.warning)
        session = try ORTSession(env: environment, modelPath: assets.place(file).path, sessionOptions: ORTSessionOptions())
    }

    public func classify(_ photograph: Rgb) throws -> Answer {
        let start = DispatchTime.now().uptimeNanoseconds
        let image = resize(photograph, to: assets.manifest.preprocessing)
        let resized = DispatchTime.now().uptimeNanoseconds
        let (logits, probabilities) = try run(image)
        let done = DispatchTime.now().uptimeNanoseconds
        return Answer(
            labels: try labels(assets.manifest, artifact, logits: logits, probabilities: probabilities),
            resizeMs: Double(resized - start) / 1e6,
            networkMs: Double(done - resized) / 1e6
        )
    }

    /// The bundle's own photographs: does this device compute what the training framework computed?
    public func selfTest() throws -> SelfTest {
        let golden = assets.manifest.selftest ?? []
        if golden.isEmpty {
            throw BundleError("This bundle carries no photographs for a self-test.")
        }
        let given = try golden.map { one in
            try run(resize(decode(assets.read(one.file)), to: assets.manifest.preprocessing)).logits
        }
        return SelfTest(expected: golden.map { $0.logits }, given: given, allowed: tolerance)
    }

    private func run(_ image: Rgb) throws -> (logits: [Float], probabilities: [Float]) {
        let manifest = assets.manifest
        let isFloat = manifest.input == .float32_nchw
        let sides = isFloat ? [3, image.height, image.width] : [image.height, image.width, 3]
        let input = try ORTValue(
            tensorData: NSMutableData(data: graphInput(image, manifest, batch: artifact.batch)),
            elementType: isFloat ? ORTTensorElementDataType.float : ORTTensorElementDataType.uInt8,
            shape: ([artifact.batch] + sides).map { NSNumber(value: $0) }
        )
        let outputs = try session.run(
            withInputs: [manifest.inputs[0].name: input], outputNames: ["logits", "probabilities"], runOptions: nil
        )
        return (try row(outputs, "logits"), try row(outputs, "probabilities"))
    }

    /// The first image's numbers.
    private func row(_ outputs: [String: ORTValue], _ name: String) throws -> [Float] {
        let count = assets.manifest.classes.count
        guard let value = outputs[name] else {
            throw BundleError("\(artifact.name): has no output `\(name)`.")
        }
        let data = try value.tensorData() as Data
        guard data.count >= count * MemoryLayout<Float>.size else {
            throw BundleError("\(artifact.name): `\(name)` holds fewer numbers than there are classes.")
        }
        return data.withUnsafeBytes { Array($0.bindMemory(to: Float.self).prefix(count)) }
    }
}
