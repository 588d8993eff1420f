package edgedistill.core

import org.json.JSONException
import org.json.JSONObject
import java.security.MessageDigest

/** The bundle cannot be used; the message is one line for people. */
class BundleException(message: String) : Exception(message)

/** How an image becomes the graph's input. [mean] and [std] are for graphs that take float32. */
class Preprocessing(
    val height: Int,
    val width: Int,
    val centerCrop: Boolean,
    val bicubic: Boolean,
    val mean: FloatArray,
    val std: FloatArray,
)

class FileEntry(val path: String, val sha256: String, val bytes: Long)

/** From an artifact's logits to its labels: see docs/thresholds.md of edgedistill. */
class OperatingPoint(val thresholds: DoubleArray, val temperature: Float)

class Artifact(
    val name: String,
    val file: FileEntry,
    val batch: Int,
    val operatingPoint: OperatingPoint?,
)

/** A photograph that travels with the bundle, and the training framework's logits for it. */
class GoldenImage(val file: FileEntry, val logits: DoubleArray)

class Manifest(
    val name: String,
    val classes: List<String>,
    val preprocessing: Preprocessing,
    val float32: Boolean,
    val inputName: String,
    val thresholds: DoubleArray,
    val artifacts: Map<String, Artifact>,
    val selftest: List<GoldenImage>,
)

private const val SCHEMA_VERSION = 1
private const val LARGEST_SIDE = 16_384

/** Reads manifest.json; refuses what this reader could not compute rightly. */
fun readManifest(json: String): Manifest =
    try {
        manifest(JSONObject(json))
    } catch (error: JSONException) {
        throw BundleException("manifest.json: damaged or not a manifest (${error.message}).")
    }

/** Throws unless [data] is what the manifest lists. */
fun checkFile(entry: FileEntry, data: ByteArray): ByteArray {
    val sha256 = MessageDigest.getInstance("SHA-256").digest(data).joinToString("") { "%02x".format(it) }
    if (data.size.toLong() != entry.bytes || sha256 != entry.sha256) {
        throw BundleException("${entry.path}: its SHA-256 is not what the manifest lists. Copy the bundle again.")
    }
    return data
}

private fun manifest(json: JSONObject): Manifest {
    val version = json.getInt("schema_version")
    if (version != SCHEMA_VERSION) {
        throw BundleException("manifest.json: schema $version, and this app reads $SCHEMA_VERSION.")
    }
    val classes = json.getJSONArray("classes").let { names -> List(names.length()) { names.getString(it) } }
    if (classes.isEmpty() || classes.toSet().size < classes.size) {
        throw BundleException("manifest.json: `classes` is empty or holds a name twice.")
    }
    val artifacts = LinkedHashMap<String, Artifact>()
    json.getJSONArray("artifacts").let { all ->
        for (i in 0 until all.length()) {
            artifact(all.getJSONObject(i), classes.size)?.let { artifacts[it.name] = it }
        }
    }
    val selftest = json.optJSONArray("selftest")
    return Manifest(
        name = json.getString("name"),
        classes = classes,
        preprocessing = preprocessing(json.getJSONObject("preprocessing")),
        float32 = word(json.getString("input"), "input", "uint8_nhwc", "float32_nchw") == "float32_nchw",
        inputName = json.getJSONArray("inputs").getJSONObject(0).getString("name"),
        thresholds = thresholds(json, classes.size),
        artifacts = artifacts,
        selftest = List(selftest?.length() ?: 0) { i ->
            val golden = selftest!!.getJSONObject(i)
            GoldenImage(file(golden.getJSONObject("file")), numbers(golden, "logits", classes.size))
        },
    )
}

private fun preprocessing(json: JSONObject): Preprocessing {
    val size = json.getJSONArray("size")
    val (height, width) = size.getInt(0) to size.getInt(1)
    if (height !in 1..LARGEST_SIDE || width !in 1..LARGEST_SIDE) {
        throw BundleException("manifest.json: `preprocessing.size` is $size.")
    }
    return Preprocessing(
        height = height,
        width = width,
        centerCrop = word(json.optString("resize", "squash"), "resize", "squash", "center_crop") == "center_crop",
        bicubic = word(json.optString("interpolation", "bilinear"), "interpolation", "bilinear", "bicubic") == "bicubic",
        mean = channels(json, "mean", floatArrayOf(0.485f, 0.456f, 0.406f)),
        std = channels(json, "std", floatArrayOf(0.229f, 0.224f, 0.225f)),
    )
}

/** Null for an artifact without a file: its export failed. */
private fun artifact(json: JSONObject, classes: Int): Artifact? {
    val files = json.getJSONArray("files")
    if (files.length() == 0) return null
    val batch = json.getJSONObject("target").optJSONObject("batch")?.optInt("min", 1) ?: 1
    val point = json.optJSONObject("operating_point")
    return Artifact(
        name = json.getString("name"),
        file = file(files.getJSONObject(0)),
        batch = batch.coerceAtLeast(1),
        operatingPoint = point?.let { OperatingPoint(thresholds(it, classes), temperature(it)) },
    )
}

private fun file(json: JSONObject) = FileEntry(json.getString("path"), json.getString("sha256"), json.getLong("bytes"))

private fun word(value: String, key: String, vararg known: String): String =
    if (value in known) value else throw BundleException("manifest.json: `$key` is \"$value\", which this app does not know.")

private fun thresholds(json: JSONObject, classes: Int): DoubleArray =
    numbers(json, "thresholds", classes).onEach {
        if (it !in 0.0..1.0) throw BundleException("manifest.json: the threshold $it is not within 0 and 1.")
    }

private fun temperature(json: JSONObject): Float {
    val value = json.getDouble("temperature")
    if (value !in 0.01..100.0) throw BundleException("manifest.json: the temperature $value is not within 0.01 and 100.")
    return value.toFloat()
}

private fun numbers(json: JSONObject, key: String, count: Int): DoubleArray {
    val values = json.getJSONArray(key)
    if (values.length() != count) throw BundleException("manifest.json: ${values.length()} `$key` for $count.")
    return DoubleArray(count) { values.getDouble(it) }
}

private fun channels(json: JSONObject, key: String, default: FloatArray): FloatArray =
    if (json.has(key)) FloatArray(3) { json.getJSONArray(key).getDouble(it).toFloat() } else default
