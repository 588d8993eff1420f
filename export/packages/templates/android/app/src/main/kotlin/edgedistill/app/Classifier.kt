package edgedistill.app

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import android.content.res.AssetManager
import edgedistill.core.Artifact
import edgedistill.core.BundleException
import edgedistill.core.FileEntry
import edgedistill.core.Label
import edgedistill.core.Manifest
import edgedistill.core.Rgb
import edgedistill.core.SelfTest
import edgedistill.core.Tolerance
import edgedistill.core.checkFile
import edgedistill.core.graphInput
import edgedistill.core.labels
import edgedistill.core.readManifest
import edgedistill.core.resize
import org.json.JSONObject
import java.io.IOException

/** What a photograph shows, and how long resizing and the network took. */
class Answer(val labels: List<Label>, val resizeMs: Double, val networkMs: Double)

/** The bundle in the app's assets. Nothing of it is used whose SHA-256 is not the manifest's. */
class Assets(private val assets: AssetManager) {
    val manifest: Manifest = readManifest(String(bytes("bundle/manifest.json"), Charsets.UTF_8))

    /** Names of the artifacts, the default first, and what a self-test allows of each: edgedistill wrote them. */
    val tolerances: Map<String, Tolerance> = LinkedHashMap<String, Tolerance>().also { all ->
        val list = JSONObject(String(bytes("app.json"), Charsets.UTF_8)).getJSONArray("artifacts")
        for (i in 0 until list.length()) {
            val one = list.getJSONObject(i)
            val mean = if (one.isNull("mean")) null else one.getDouble("mean")
            all[one.getString("name")] = Tolerance(one.getDouble("largest"), mean)
        }
    }

    fun read(entry: FileEntry): ByteArray = checkFile(entry, bytes("bundle/${entry.path}"))

    private fun bytes(path: String): ByteArray =
        try {
            assets.open(path).use { it.readBytes() }
        } catch (_: IOException) {
            throw BundleException("$path: not in this app's assets. Generate the app again.")
        }
}

/** One artifact of the bundle, loaded. Use it from one thread at a time. */
class Classifier(private val assets: Assets, name: String) : AutoCloseable {
    private val manifest = assets.manifest
    private val environment = OrtEnvironment.getEnvironment()
    private val session: OrtSession
    val artifact: Artifact = manifest.artifacts[name]
        ?: throw BundleException("$name: not in the manifest. Generate the app again.")

    init {
        session = OrtSession.SessionOptions().use { environment.createSession(assets.read(artifact.file), it) }
    }

    fun classify(photograph: Rgb): Answer {
        val start = System.nanoTime()
        val image = resize(photograph, manifest.preprocessing)
        val resized = System.nanoTime()
        val (logits, probabilities) = run(image)
        val done = System.nanoTime()
        return Answer(labels(manifest, artifact, logits, probabilities), (resized - start) / 1e6, (done - resized) / 1e6)
    }

    /** The bundle's own photographs: does this phone compute what the training framework computed? */
    fun selfTest(): SelfTest {
        val golden = manifest.selftest
        if (golden.isEmpty()) throw BundleException("This bundle carries no photographs for a self-test.")
        val given = golden.map { run(resize(decode(assets.read(it.file)), manifest.preprocessing)).first }
        return SelfTest(golden.map { it.logits }, given, assets.tolerances.getValue(artifact.name))
    }

    override fun close() = session.close()

    private fun run(image: Rgb): Pair<FloatArray, FloatArray> {
        val batch = artifact.batch
        val input = graphInput(image, manifest, batch)
        val (height, width) = image.height.toLong() to image.width.toLong()
        val tensor =
            if (manifest.float32) {
                OnnxTensor.createTensor(environment, input.asFloatBuffer(), longArrayOf(batch.toLong(), 3, height, width))
            } else {
                OnnxTensor.createTensor(environment, input, longArrayOf(batch.toLong(), height, width, 3), OnnxJavaType.UINT8)
            }
        return tensor.use {
            session.run(mapOf(manifest.inputName to tensor)).use { output(it, "logits") to output(it, "probabilities") }
        }
    }

    /** The first image's row. */
    private fun output(result: OrtSession.Result, name: String): FloatArray {
        val values = (result.get(name).get() as OnnxTensor).floatBuffer
        if (values.remaining() < manifest.classes.size) {
            throw BundleException("${artifact.name}: `$name` holds fewer numbers than there are classes.")
        }
        return FloatArray(manifest.classes.size) { values.get(it) }
    }
}
