import PhotosUI
import SwiftUI

/// The whole app: take or choose a photograph, see its labels; run the self-test.
struct ContentView: View {
    @StateObject private var model = Model()
    @State private var chosen: PhotosPickerItem?
    @State private var isTaking = false
    private let shown = 10

    var body: some View {
        NavigationStack {
            List {
                Section {
                    Picker("Artifact", selection: $model.artifact) {
                        ForEach(model.artifacts, id: \.self) { Text($0) }
                    }
                    if UIImagePickerController.isSourceTypeAvailable(.camera) {
                        Button("Take a photograph") { isTaking = true }
                    }
                    PhotosPicker("Choose a photograph", selection: $chosen, matching: .images)
                    Button("Self-test") { model.selfTest() }
                }
                if let photograph = model.photograph {
                    Image(uiImage: photograph)
                        .resizable()
                        .scaledToFit()
                        .accessibilityLabel("The photograph")
                }
                Section {
                    Text(model.message)
                    ForEach(model.labels.prefix(shown)) { label in
                        HStack {
                            Text(label.name).bold(label.isPresent)
                            Spacer()
                            Text(String(format: "%.1f %%", label.probability * 100)).monospacedDigit()
                            if label.isPresent {
                                Image(systemName: "checkmark").accessibilityLabel("present")
                            }
                        }
                    }
                }
            }
            .navigationTitle("{{name}}")
        }
        .onAppear { model.start() }
        .onChange(of: chosen) { item in
            guard let item else { return }
            Task {
                do {
                    guard let file = try await item.loadTransferable(type: Data.self) else { throw CocoaError(.fileReadUnknown) }
                    model.show(file: file)
                } catch {
                    model.message = error.localizedDescription
                }
            }
        }
        .sheet(isPresented: $isTaking) {
            Camera { model.show(taken: $0) }
        }
    }
}
