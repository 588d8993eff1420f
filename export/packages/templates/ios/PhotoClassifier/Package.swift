// swift-tools-version: 5.9
import PackageDescription

let package = Package(
    name: "PhotoClassifier",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "PhotoClassifier", targets: ["PhotoClassifier", "PhotoClassifierCore"])],
    dependencies: [
        .package(url: "https://github.com/microsoft/onnxruntime-swift-package-manager", exact: "1.24.2"),
    ],
    targets: [
        .target(name: "PhotoClassifierCore"),
        .target(
            name: "PhotoClassifier",
            dependencies: [
                "PhotoClassifierCore",
                .product(name: "onnxruntime", package: "onnxruntime-swift-package-manager"),
            ]
        ),
        .testTarget(
            name: "PhotoClassifierCoreTests",
            dependencies: ["PhotoClassifierCore"],
            resources: [.copy("golden.json")]
        ),
    ]
)
