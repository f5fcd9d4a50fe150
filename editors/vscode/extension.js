// Starts `tidegate lsp` and speaks to it. Everything else is the language server's.
const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

exports.activate = () => {
    const command = workspace.getConfiguration("tidegate").get("path");
    client = new LanguageClient(
        "tidegate",
        "Tidegate",
        { command, args: ["lsp"] },
        {
            documentSelector: [{ language: "tidegate" }],
            // What policies are made of may change without the editor.
            synchronize: { fileEvents: workspace.createFileSystemWatcher("**/*.{gate,pem,key,ocsp,wasm}") },
        },
    );
    return client.start();
};

exports.deactivate = () => client?.stop();
