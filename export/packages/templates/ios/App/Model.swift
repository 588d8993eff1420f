import Combine
import Foundation
import PhotoClassifier
import PhotoClassifierCore
import UIKit

/// What the screen shows. The work is done on a queue of its own, one thing after another.
@MainActor
final class Model: ObservableObject {
    @Published var photograph: UIImage?
    @Published var labels: [Label] = []
    @Published var message = ""
    @Published var artifacts: [String] = []
    @Published var artifact = "" {
        didSet { if artifact != oldValue { load() } }
    }

    private let queue = DispatchQueue(label: "classifier")
    private var assets: Assets?
    private var classifier: Classifier?

    func start() {
        guard assets == nil else { return }
        do {
            let found = try Assets(folder: Bundle.main.bundleURL.appendingPathComponent("Assets"))
            assets = found
            artifacts = found.tolerances.map { $0.name }
            artifact = artifacts.first ?? ""
        } catch {
            message = error.localizedDescription
        }
    }

    func show(file: Data) {
        photograph = UIImage(data: file)
        classify { try decode(file) }
    }

    func show(taken: UIImage) {
        photograph = taken
        guard let image = taken.cgImage else { return }
        let orientation = exif[taken.imageOrientation] ?? 1
        classify { try decode(image, orientation: orientation) }
    }

    func selfTest() {
        run { classifier in
            let test = try classifier.selfTest()
            let word = test.passed ? "Passed" : "FAILED"
            return ([], String(format: "%@: largest %.2g, mean %.2g", word, test.largest, test.mean))
        }
    }

    private func classify(_ decoded: @escaping () throws -> Rgb) {
        run { classifier in
            let answer = try classifier.classify(decoded())
            let time = String(format: "Network %.1f ms, resizing %.1f ms", answer.networkMs, answer.resizeMs)
            return (answer.labels, time)
        }
    }

    private func load() {
        guard let assets else { return }
        let name = artifact
        classifier = nil
        message = "Loading…"
        Task {
            switch await outcome(of: { try Classifier(assets, artifact: name) }) {
            case .success(let loaded):
                classifier = loaded
                message = "\(name) is ready."
            case .failure(let error):
                message = error.localizedDescription
            }
        }
    }

    private func run(_ work: @escaping (Classifier) throws -> ([Label], String)) {
        guard let classifier else { return }
        labels = []
        message = "Working…"
        Task {
            switch await outcome(of: { try work(classifier) }) {
            case .success(let (found, text)):
                labels = found
                message = text
            case .failure(let error):
                message = error.localizedDescription
            }
        }
    }

    private func outcome<T>(of work: @escaping () throws -> T) async -> Result<T, Error> {
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
