//! `tombola run`

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ndarray::{Array2, s};
use rayon::ThreadPoolBuilder;
use tombola::io::{SampleReader, SampleWriter};

use crate::Failure;
use crate::input::{Input, spare};

/// What takes less time needs no progress bar.
const LONG: Duration = Duration::from_millis(500);

/// Run a model on samples.
///
/// Input and output are .npy files, [samples, features], and are read and written batch by batch: they may be larger than
/// memory. Further dimensions of the input are features, too: images [n, 28, 28] have 784.
#[derive(Args)]
#[command(after_help = "Examples:
  tombola run ticket.safetensors images.npy -o logits.npy
  tombola run ticket.safetensors images.npy -o logits.npy --batch 1024 --threads 4
  python make_images.py | tombola run ticket.safetensors - -o - | python look_at_logits.py")]
pub(crate) struct Run {
    #[command(flatten)]
    input: Input,
    /// The samples, a .npy file of any dtype of numbers; - is stdin.
    #[arg(value_name = "INPUT.npy")]
    samples: PathBuf,
    /// The outputs, a .npy file of f32; - is stdout. It is written beside its place and moved there: whole, or not at all.
    #[arg(short, long, value_name = "OUTPUT.npy")]
    output: PathBuf,
    /// Samples at a time.
    #[arg(long, value_name = "N", default_value = "512")]
    batch: NonZeroUsize,
    /// Threads. The output does not depend on their number.
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroUsize,
}

impl Run {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let stdio = Path::new("-");
        if self.output != stdio {
            self.input.spare(&self.output)?;
            spare(&self.samples, &self.output)?;
        }
        let mlp = self.input.read()?.mlp;
        let mut samples = match self.samples == stdio {
            true => SampleReader::new(io::stdin(), "stdin")?,
            false => SampleReader::open(&self.samples)?,
        };
        if samples.features() != mlp.inputs() {
            return Err(Failure::contents(format!(
                "{}: expected samples of {} features, the inputs of {}, found {}",
                self.samples.display(),
                mlp.inputs(),
                self.input.input.display(),
                samples.features()
            )));
        }
        let shape = [samples.samples(), mlp.outputs()];
        let mut outputs = match self.output == stdio {
            true => SampleWriter::new(io::stdout(), "stdout", shape)?,
            false => SampleWriter::create(&self.output, shape)?,
        };

        let pool = ThreadPoolBuilder::new().num_threads(self.threads.get()).build();
        let pool = pool.map_err(|error| Failure::usage(format!("--threads: {error}")))?;
        let batch = self.batch.get().min(samples.samples().max(1));
        let mut x = Array2::zeros((batch, mlp.inputs()));
        let mut y = Array2::zeros((batch, mlp.outputs()));
        let mut workspace = pool.install(|| mlp.parallel_workspace(batch));
        let bar = bar(samples.samples());
        loop {
            let count = samples.read(x.view_mut())?;
            if count == 0 {
                break;
            }
            let (x, mut y) = (x.slice(s![..count, ..]), y.slice_mut(s![..count, ..]));
            pool.install(|| mlp.forward_into(x, y.view_mut(), &mut workspace))?;
            outputs.write(y.view())?;
            bar.inc(count as u64);
            if bar.is_hidden() && bar.elapsed() > LONG {
                // Shows nothing where there is no terminal.
                bar.set_draw_target(ProgressDrawTarget::stderr());
            }
        }
        outputs.finish()?;
        bar.finish_and_clear();
        Ok(())
    }
}

/// A bar that waits to be shown.
fn bar(samples: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} samples, {per_sec}, {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(samples as u64), ProgressDrawTarget::hidden()).with_style(style)
}
