//! The alert rules that are shipped, as Prometheus's own tool sees them.

use tidegate_tests::{program, workspace};

#[test]
fn prometheus_takes_the_alerts_and_each_fires_when_it_should() {
    for words in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let Some(mut promtool) = program("promtool") else { return };
        let done = promtool.args(words).current_dir(workspace().join("deploy/prometheus")).output().unwrap();
        let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(done.status.success() && said.contains("SUCCESS"), "{words:?}: {said}");
    }
}
