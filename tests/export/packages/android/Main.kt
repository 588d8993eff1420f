// What the tests ask of the core of a generated Android app, on a JVM: many cases in one process.
import edgedistill.core.Artifact
import edgedistill.core.BundleException
import edgedistill.core.Preprocessing
import edgedistill.core.Rgb
import edgedistill.core.SelfTest
import edgedistill.core.Tolerance
import edgedistill.core.checkFile
import edgedistill.core.graphInput
import edgedistill.core.labels
import edgedistill.core.orientationOfJpeg
import edgedistill.core.preview
import edgedistill.core.readManifest
import edgedistill.core.resize
import edgedistill.core.upright
import org.json.JSONArray
import org.json.JSONObject
import java.io.File
import java.nio.ByteBuffer

fun main(arguments: Array<String>) {
    val folder = File(arguments[0])
    val cases = JSONArray(File(folder, "cases.json").readText())
    val answers = JSONArray()
    for (i in 0 until cases.length()) {
        val case = cases.getJSONObject(i)
        answers.put(
            try {
                answer(case, folder)
            } catch (error: BundleException) {
                JSONObject().put("refused", error.message)
            },
        )
    }
    File(folder, "answers.json").writeText(answers.toString())
}

private fun answer(case: JSONObject, folder: File): Any = when (case.getString("ask")) {
    "resize" -> {
        val size = case.getJSONArray("size")
        val zeros = FloatArray(3)
        val to = Preprocessing(size.getInt(0), size.getInt(1), case.getBoolean("center_crop"), case.getBoolean("bicubic"), zeros, zeros)
        val image = Rgb(case.getInt("width"), case.getInt("height"), File(folder, case.getString("pixels")).readBytes())
        File(folder, case.getString("out")).writeBytes(resize(image, to).pixels)
        "written"
    }
    "upright" -> {
        val rgba = ByteBuffer.wrap(File(folder, case.getString("pixels")).readBytes())
        val out = upright(rgba, case.getInt("width"), case.getInt("height"), case.getInt("orientation"))
        File(folder, case.getString("out")).writeBytes(out.pixels)
        JSONArray(listOf(out.width, out.height))
    }
    "preview" -> {
        val pixels = File(folder, case.getString("pixels")).readBytes()
        val found = preview(Rgb(case.getInt("width"), case.getInt("height"), pixels), case.getInt("longest"))
        JSONArray(listOf(found.width, found.height, JSONArray(found.argb)))
    }
    "orientation" -> orientationOfJpeg(File(folder, case.getString("file")).readBytes())
    "labels" -> {
        val manifest = readManifest(File(folder, case.getString("manifest")).readText())
        val artifact: Artifact = manifest.artifacts.getValue(case.getString("artifact"))
        val found = labels(manifest, artifact, floats(case.getJSONArray("logits")), floats(case.getJSONArray("probabilities")))
        JSONArray(found.map { JSONArray(listOf(it.name, it.probability.toDouble(), it.isPresent)) })
    }
    "file" -> {
        val bundle = File(case.getString("bundle"))
        val manifest = readManifest(File(bundle, "manifest.json").readText())
        for (golden in manifest.selftest) checkFile(golden.file, File(bundle, golden.file.path).readBytes())
        checkFile(manifest.selftest[0].file, File(bundle, manifest.selftest[1].file.path).readBytes())
        "accepted"
    }
    "selftest" -> {
        val mean = if (case.isNull("mean")) null else case.getDouble("mean")
        val expected = listOf(floats(case.getJSONArray("expected")).map { it.toDouble() }.toDoubleArray())
        SelfTest(expected, listOf(floats(case.getJSONArray("given"))), Tolerance(case.getDouble("largest"), mean)).passed
    }
    "input" -> {
        val manifest = readManifest(File(folder, case.getString("manifest")).readText())
        val pixels = File(folder, case.getString("pixels")).readBytes()
        val to = manifest.preprocessing
        val input = graphInput(Rgb(to.width, to.height, pixels), manifest, case.getInt("batch"))
        File(folder, case.getString("out")).writeBytes(ByteArray(input.remaining()).also { input.get(it) })
        "written"
    }
    else -> error("unknown question")
}

private fun floats(values: JSONArray) = FloatArray(values.length()) { values.getDouble(it).toFloat() }
