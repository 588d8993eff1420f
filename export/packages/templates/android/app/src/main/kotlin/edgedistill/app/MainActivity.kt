package edgedistill.app

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.ClipData
import android.content.Intent
import android.graphics.Bitmap
import android.os.Build
import android.os.Bundle
import android.provider.MediaStore
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Button
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.ScrollView
import android.widget.Spinner
import android.widget.TextView
import edgedistill.core.Preview
import edgedistill.core.Rgb
import edgedistill.core.preview
import java.io.FileNotFoundException
import java.util.Locale
import java.util.concurrent.Executors

private const val FROM_CAMERA = 1
private const val FROM_GALLERY = 2
private const val SHOWN = 10
private const val PREVIEW = 1024

/** The whole app: take or choose a photograph, see its labels; run the self-test. */
class MainActivity : Activity() {
    private val worker = Executors.newSingleThreadExecutor()
    private val bundle by lazy { Assets(assets) } // of the worker alone, as the next
    private var classifier: Classifier? = null
    @Volatile private var chosen: String? = null
    private lateinit var photograph: ImageView
    private lateinit var result: TextView
    private lateinit var artifacts: Spinner

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        photograph = ImageView(this).apply {
            adjustViewBounds = true
            contentDescription = getString(R.string.photograph)
        }
        result = TextView(this).apply {
            textSize = 16f
            setTextIsSelectable(true)
            accessibilityLiveRegion = View.ACCESSIBILITY_LIVE_REGION_POLITE
        }
        artifacts = Spinner(this)
        setContentView(ScrollView(this).apply { fitsSystemWindows = true; addView(column()) })
        inBackground {
            val names = bundle.tolerances.keys.toList()
            runOnUiThread { if (!isDestroyed) offer(names) }
            getString(R.string.ready, ready().artifact.name)
        }
    }

    override fun onDestroy() {
        worker.execute { classifier?.close() }
        worker.shutdown()
        super.onDestroy()
    }

    override fun onActivityResult(request: Int, outcome: Int, data: Intent?) {
        super.onActivityResult(request, outcome, data)
        if (outcome != RESULT_OK) return
        val uri = if (request == FROM_CAMERA) PhotoProvider.uri(this) else data?.data ?: return
        inBackground {
            val stream = contentResolver.openInputStream(uri) ?: throw FileNotFoundException("$uri cannot be read.")
            val file = stream.use { it.readBytes() }
            val pixels = decode(file)
            show(preview(pixels, PREVIEW))
            describe(pixels)
        }
    }

    private fun column() = LinearLayout(this).apply {
        orientation = LinearLayout.VERTICAL
        val margin = (16 * resources.displayMetrics.density).toInt()
        setPadding(margin, margin, margin, margin)
        addView(artifacts)
        addView(button(R.string.camera) { takePhotograph() })
        addView(button(R.string.gallery) { choosePhotograph() })
        addView(button(R.string.selftest) { inBackground { selfTest() } })
        addView(photograph)
        addView(result)
    }

    private fun button(text: Int, action: () -> Unit) = Button(this).apply {
        setText(text)
        setOnClickListener { action() }
    }

    private fun offer(names: List<String>) {
        chosen = names.first()
        artifacts.adapter = ArrayAdapter(this, android.R.layout.simple_spinner_dropdown_item, names)
        artifacts.onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
            override fun onItemSelected(parent: AdapterView<*>?, view: View?, position: Int, id: Long) {
                if (names[position] == chosen) return
                chosen = names[position]
                inBackground { getString(R.string.ready, ready().artifact.name) }
            }

            override fun onNothingSelected(parent: AdapterView<*>?) = Unit
        }
    }

    /**
     * The chosen artifact, on the worker: loaded when it is first needed. While the camera is open Android may end this
     * app, and what it brings is then the first that the new one is asked.
     */
    private fun ready(): Classifier {
        val name = chosen ?: bundle.tolerances.keys.first()
        classifier?.let {
            if (it.artifact.name == name) return it
            classifier = null
            it.close()
        }
        return Classifier(bundle, name).also { classifier = it }
    }

    private fun takePhotograph() {
        PhotoProvider.photo(this).delete() // a camera app that writes nothing must not bring the last one again
        val uri = PhotoProvider.uri(this)
        val intent = Intent(MediaStore.ACTION_IMAGE_CAPTURE).putExtra(MediaStore.EXTRA_OUTPUT, uri)
        intent.clipData = ClipData.newRawUri(null, uri)
        intent.addFlags(Intent.FLAG_GRANT_WRITE_URI_PERMISSION or Intent.FLAG_GRANT_READ_URI_PERMISSION)
        launch(intent, FROM_CAMERA)
    }

    private fun choosePhotograph() {
        val intent =
            if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
                Intent(MediaStore.ACTION_PICK_IMAGES)
            } else {
                Intent(Intent.ACTION_GET_CONTENT).addCategory(Intent.CATEGORY_OPENABLE)
            }
        launch(intent.setType("image/*"), FROM_GALLERY)
    }

    private fun launch(intent: Intent, request: Int) =
        try {
            startActivityForResult(intent, request)
        } catch (_: ActivityNotFoundException) {
            result.setText(R.string.no_app)
        }

    private fun show(picture: Preview) {
        val bitmap = Bitmap.createBitmap(picture.argb, picture.width, picture.height, Bitmap.Config.ARGB_8888)
        runOnUiThread { photograph.setImageBitmap(bitmap) }
    }

    private fun describe(pixels: Rgb): String {
        val answer = ready().classify(pixels)
        val lines = answer.labels.take(SHOWN).map {
            String.format(Locale.ROOT, "%s %5.1f %%  %s", if (it.isPresent) "✓" else "  ", it.probability * 100, it.name)
        }
        val time = String.format(Locale.ROOT, "%.1f ms + %.1f ms", answer.networkMs, answer.resizeMs)
        return lines.joinToString("\n") + "\n\n" + getString(R.string.latency, time)
    }

    private fun selfTest(): String {
        val test = ready().selfTest()
        val word = getString(if (test.passed) R.string.passed else R.string.failed)
        return String.format(Locale.ROOT, "%s: largest %.2g, mean %.2g", word, test.largest, test.mean)
    }

    /** Runs off the screen's thread, and shows what comes out or went wrong. */
    private fun inBackground(work: () -> String) {
        result.setText(R.string.working)
        worker.execute {
            val said = try {
                work()
            } catch (error: OutOfMemoryError) {
                getString(R.string.memory)
            } catch (error: Exception) {
                error.message ?: error.toString()
            }
            runOnUiThread { result.text = said }
        }
    }
}
