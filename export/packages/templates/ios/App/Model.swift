import Combine
import Foundation
import PhotoClassifier
import PhotoClassifierCore
import UIKit

/// What the screen shows.
@MainActor
final class Model: ObservableObject {
    @Published var photograph: UIImage?
    @Published var labels: [Label] = []
    @Published var message = ""
    @Published var artifacts: [String] = []
    @Published var artifact = "" {
        didSet { if artifact != oldValue { load() } }
    }

    private let worker = Worker()

    func start() {
        guard artifacts.isEmpty else { return }
        Task {
            switch await worker.names() {
            case .success(let names):
                artifacts = names
                artifact = names.first ?? ""
            case .failure(let error):
                message = error.localizedDescription
            }
        }
    }

    func show(file: Data) {
        photograph = UIImage(data: file)
        classify { try decode(file) }
    }

    func show(taken: UIImage) {
        photograph = taken
        guard let image = taken.cgImage else {
            message = "The camera brought no picture."
            return
        }
        let orientation = exif[taken.imageOrientation] ?? 1
        classify { try decode(image, orientation: orientation) }
    }

    func selfTest() {
        run("Working…") { classifier in
            let test = try classifier.selfTest()
            let word = test.passed ? "Passed" : "FAILED"
            return ([], String(format: "%@: largest %.2g, mean %.2g", word, test.largest, test.mean))
        }
    }

    private func classify(_ decoded: @escaping @Sendable () throws -> Rgb) {
        run("Working…") { classifier in
            let answer = try classifier.classify(decoded())
            let time = String(format: "Network %.1f ms, resizing %.1f ms", answer.networkMs, answer.resizeMs)
            return (answer.labels, time)
        }
    }

    private func load() {
        run("Loading…") { ([], "\($0.artifact.name) is ready.") }
    }

    private func run(_ before: String, _ work: @escaping @Sendable (Classifier) throws -> ([Label], String)) {
        labels = []
        message = before
        let name = artifact
        Task {
            switch await worker.run(name, work) {
            case .success(let (found, text)):
                labels = found
                message = text
            case .failure(let error):
                message = error.localizedDescription
            }
        }
    }
}

/// Has what is loaded, and works on a queue of its own, one thing after another.
private final class Worker: @unchecked Sendable {
    private let queue = DispatchQueue(label: "classifier")
    private var assets: Assets?
    private var classifier: Classifier?

    /// The artifacts, the default first.
    func names() async -> Result<[String], Error> {
        await outcome(of: { try self.opened().tolerances.map { $0.name } })
    }

    /// What `work` makes of the artifact of that name, or of the default one where it is empty.
    func run<T>(_ name: String, _ work: @escaping @Sendable (Classifier) throws -> T) async -> Result<T, Error> {
        await outcome(of: { try work(self.loaded(name)) })
    }

    private func opened() throws -> Assets {
        if let assets {
            return assets
        }
        let found = try Assets(folder: Bundle.main.bundleURL.appendingPathComponent("Assets"))
        assets = found
        return found
    }

    private func loaded(_ name: String) throws -> Classifier {
        let assets = try opened()
        let wanted = name.isEmpty ? assets.tolerances.first?.name ?? "" : name
        if let classifier, classifier.artifact.name == wanted {
            return classifier
        }
        classifier = nil // before the next takes its memory
        let made = try Classifier(assets, artifact: wanted)
        classifier = made
        return made
    }

    private func outcome<T>(of work: @escaping @Sendable () throws -> T) async -> Result<T, Error> {
        await withCheckedContinuation { continuation in
            queue.async {
                continuation.resume(returning: Result(catching: work))
            }
        }
    }
}

/// EXIF's numbers of UIKit's orientations.
private let exif: [UIImage.Orientation: Int] = [
    .up: 1, .upMirrored: 2, .down: 3, .downMirrored: 4, .leftMirrored: 5, .right: 6, .rightMirrored: 7, .left: 8,
]
