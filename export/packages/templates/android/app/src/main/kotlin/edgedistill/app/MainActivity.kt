package edgedistill.app

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.ClipData
import android.content.Intent
import android.graphics.BitmapFactory
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
import edgedistill.core.Rgb
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
    private var assets: Assets? = null
    private var classifier: Classifier? = null
    private lateinit var preview: ImageView
    private lateinit var result: TextView
    private lateinit var artifacts: Spinner

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        preview = ImageView(this).apply {
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
            val loaded = Assets(getAssets())
            runOnUiThread { offer(loaded) }
            "${loaded.manifest.name}: ${loaded.manifest.classes.size} classes"
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
            show(file)
            describe(decode(file))
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
        addView(preview)
        addView(result)
    }

    private fun button(text: Int, action: () -> Unit) = Button(this).apply {
        setText(text)
        setOnClickListener { action() }
    }

    private fun offer(loaded: Assets) {
        assets = loaded
        val names = loaded.tolerances.keys.toList()
        artifacts.adapter = ArrayAdapter(this, android.R.layout.simple_spinner_dropdown_item, names)
        artifacts.onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
            override fun onItemSelected(parent: AdapterView<*>?, view: View?, position: Int, id: Long) = load(names[position])

            override fun onNothingSelected(parent: AdapterView<*>?) = Unit
        }
    }

    private fun load(name: String) = inBackground {
        classifier?.close()
        classifier = null
        classifier = Classifier(assets!!, name)
        getString(R.string.ready, name)
    }

    private fun takePhotograph() {
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

    private fun show(file: ByteArray) {
        val options = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        BitmapFactory.decodeByteArray(file, 0, file.size, options)
        options.inSampleSize = maxOf(1, maxOf(options.outWidth, options.outHeight) / PREVIEW)
        options.inJustDecodeBounds = false
        val small = BitmapFactory.decodeByteArray(file, 0, file.size, options)
        runOnUiThread { preview.setImageBitmap(small) }
    }

    private fun describe(photograph: Rgb): String {
        val answer = (classifier ?: return getString(R.string.not_ready)).classify(photograph)
        val lines = answer.labels.take(SHOWN).map {
            String.format(Locale.ROOT, "%s %5.1f %%  %s", if (it.isPresent) "✓" else "  ", it.probability * 100, it.name)
        }
        val time = String.format(Locale.ROOT, "%.1f ms + %.1f ms", answer.networkMs, answer.resizeMs)
        return lines.joinToString("\n") + "\n\n" + getString(R.string.latency, time)
    }

    private fun selfTest(): String {
        val test = (classifier ?: return getString(R.string.not_ready)).selfTest()
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
