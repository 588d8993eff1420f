import PhotoClassifierCore
import XCTest

/// Small images that Pillow resized: the same levels must come out.
final class ResizeTests: XCTestCase {
    private struct Case: Decodable {
        let width: Int
        let height: Int
        let preprocessing: Preprocessing
        let stored: String
        let resized: String
    }

    func testItIsPillows() throws {
        let place = try XCTUnwrap(Bundle.module.url(forResource: "golden", withExtension: "json"))
        for one in try JSONDecoder().decode([Case].self, from: Data(contentsOf: place)) {
            let stored = try XCTUnwrap(Data(base64Encoded: one.stored))
            let image = Rgb(width: one.width, height: one.height, pixels: [UInt8](stored))
            let resized = resize(image, to: one.preprocessing)
            XCTAssertEqual(Data(resized.pixels), Data(base64Encoded: one.resized), "\(one.preprocessing)")
        }
    }
}
