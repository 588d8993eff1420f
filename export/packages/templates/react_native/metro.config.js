const { getDefaultConfig } = require("expo/metro-config");

const config = getDefaultConfig(__dirname);
config.resolver.assetExts.push("bin"); // the bundle's files: no tool may change an image, nor compile manifest.json

module.exports = config;
