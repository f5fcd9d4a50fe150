// Starts `tidegate lsp` and speaks to it. Everything else is the language server's.
const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

exports.activate = () => {
    const settings = workspace.getConfiguration("tidegate");
    const command = settings.get("path");
    client = new LanguageClient(
        "tidegate",
        "Tidegate",
        { command, args: ["lsp"] },
        {
            initializationOptions: { runModules: settings.get("runModules") },
            documentSelector: [{ language: "tidegate" }],
            // What policies are made of may change without the editor.
            synchronize: { fileEvents: workspace.createFileSystemWatcher("**/*.{gate,pem,key,ocsp,wasm}") },
        },
    );
    return client.start();
};

exports.deactivate = () => client?.stop();
