import * as ImagePicker from "expo-image-picker";
import { useCallback, useEffect, useRef, useState } from "react";
import { Image, Pressable, ScrollView, StyleSheet, Text, View } from "react-native";
import { SafeAreaProvider, SafeAreaView } from "react-native-safe-area-context";

import { loadOwn, openOwnBundle, ownArtifacts, type Photograph } from "./classifier";
import type { Bundle, Model } from "./edgedistill/index.js";

const SHOWN = 10;

type Row = { label: string; probability: number; isPresent: boolean };

/** The whole app: take or choose a photograph, see its labels; run the self-test. */
export default function App() {
  const [bundle, setBundle] = useState<Bundle>();
  const [artifact, setArtifact] = useState<string>();
  const [photograph, setPhotograph] = useState<string>();
  const [rows, setRows] = useState<Row[]>([]);
  const [message, setMessage] = useState("Loading…");
  const model = useRef<Model<Photograph>>(undefined);
  const underWay = useRef(Promise.resolve());

  /** One thing after the other, since a network that runs must not be released; shows what comes out or went wrong. */
  const attempt = useCallback((work: () => Promise<string>) => {
    underWay.current = underWay.current.then(async () => {
      setRows([]);
      setMessage("Working…");
      setMessage(await work().catch(words));
    });
  }, []);

  const choose = useCallback(
    (from: Bundle, name: string | undefined) =>
      attempt(async () => {
        if (name === undefined) return "This app carries no artifact that runs here. Make it again.";
        setArtifact(name);
        await model.current?.release();
        model.current = undefined;
        model.current = await loadOwn(from, name);
        return `${name} is ready.`;
      }),
    [attempt],
  );

  useEffect(() => {
    openOwnBundle().then(
      (opened) => {
        setBundle(opened);
        choose(opened, ownArtifacts(opened)[0]);
      },
      (error: unknown) => setMessage(words(error)),
    );
    return () => void underWay.current.then(() => model.current?.release());
  }, [choose]);

  const label = async (ask: () => Promise<ImagePicker.ImagePickerResult>) => {
    const picked = await ask().catch((error: unknown) => {
      setMessage(words(error));
      return undefined;
    });
    const uri = picked?.assets?.[0]?.uri;
    if (uri === undefined) return;
    attempt(async () => {
      setPhotograph(uri);
      if (!model.current) return "The network is not loaded.";
      const start = performance.now();
      const [prediction] = await model.current.predict(uri);
      const time = performance.now() - start;
      const present = new Set(prediction?.labels.map((one) => one.label));
      setRows((prediction?.top(SHOWN) ?? []).map((one) => ({ ...one, isPresent: present.has(one.label) })));
      return `Decoding, resizing and network: ${time.toFixed(1)} ms`;
    });
  };

  const take = () =>
    label(async () => {
      const { granted } = await ImagePicker.requestCameraPermissionsAsync();
      if (!granted) throw new Error("The camera may not be used: allow it in the settings.");
      return ImagePicker.launchCameraAsync({ quality: 1 });
    });

  const selfTest = () =>
    attempt(async () => {
      if (!model.current) return "The network is not loaded.";
      const test = await model.current.selftest();
      const largest = Math.max(0, ...test.images.map((image) => image.largest));
      return `${test.passed ? "Passed" : "FAILED"}: largest ${largest.toPrecision(2)}, mean ${test.mean.toPrecision(2)}`;
    });

  return (
    <SafeAreaProvider>
      <SafeAreaView style={styles.screen}>
        <ScrollView contentContainerStyle={styles.column}>
          <Text accessibilityRole="header" style={styles.title}>
            {bundle?.manifest.name ?? ""}
          </Text>
          <View accessibilityRole="radiogroup" style={styles.row}>
            {bundle !== undefined &&
              ownArtifacts(bundle).map((name) => (
                <Button key={name} role="radio" checked={name === artifact} onPress={() => choose(bundle, name)}>
                  {name}
                </Button>
              ))}
          </View>
          <View style={styles.row}>
            <Button onPress={() => void take()}>Take a photograph</Button>
            <Button onPress={() => void label(() => ImagePicker.launchImageLibraryAsync({ quality: 1 }))}>
              Choose a photograph
            </Button>
            <Button onPress={selfTest}>Self-test</Button>
          </View>
          {photograph !== undefined && (
            <Image
              accessibilityLabel="The photograph"
              resizeMode="contain"
              source={{ uri: photograph }}
              style={styles.photograph}
            />
          )}
          <Text accessibilityLiveRegion="polite">{message}</Text>
          {rows.map((row) => (
            <Text key={row.label} style={row.isPresent ? styles.present : styles.absent}>
              {`${row.isPresent ? "✓ " : ""}${row.label}  ${(row.probability * 100).toFixed(1)} %`}
            </Text>
          ))}
        </ScrollView>
      </SafeAreaView>
    </SafeAreaProvider>
  );
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function Button(props: { children: string; onPress: () => void; role?: "radio"; checked?: boolean }) {
  return (
    <Pressable
      accessibilityRole={props.role ?? "button"}
      accessibilityState={props.role ? { checked: props.checked } : {}}
      onPress={props.onPress}
      style={[styles.button, props.checked === false && styles.unchecked]}
    >
      <Text style={styles.caption}>{props.children}</Text>
    </Pressable>
  );
}

const styles = StyleSheet.create({
  screen: { flex: 1, backgroundColor: "white" },
  column: { padding: 16, gap: 12 },
  title: { fontSize: 24, fontWeight: "bold" },
  row: { flexDirection: "row", flexWrap: "wrap", gap: 8 },
  button: { minHeight: 48, justifyContent: "center", paddingHorizontal: 16, borderRadius: 8, backgroundColor: "#1a5fb4" },
  unchecked: { backgroundColor: "#5e6470" },
  caption: { color: "white", fontSize: 16 },
  photograph: { width: "100%", aspectRatio: 1 },
  present: { fontSize: 18, fontWeight: "bold" },
  absent: { fontSize: 16, color: "#444444" },
});
