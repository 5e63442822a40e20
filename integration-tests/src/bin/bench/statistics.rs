//! Samples and what is said of them: medians, because one slow or one lucky run must not move a figure,
//! and the 10th and 90th percentile beside them, because a wide spread says that the machine was noisy.

/// The samples of one figure of one contender, in the order they were taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn raw(&self) -> &[f64] {
        &self.0
    }

    /// The middle value (mean of the middle two); `None` without samples.
    pub(crate) fn median(&self) -> Option<f64> {
        self.percentile(50.0)
    }

    /// The value below which `percent` of the samples lie, between two samples in proportion.
    pub(crate) fn percentile(&self, percent: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let place = percent / 100.0 * last as f64;
        let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        Some(below + (above - below) * place.fract())
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// `ours ÷ theirs` of the medians; `None` where one is missing or theirs is nothing.
pub(crate) fn ratio(ours: &Samples, theirs: &Samples) -> Option<f64> {
    let (ours, theirs) = (ours.median()?, theirs.median()?);
    (theirs > 0.0).then(|| ours / theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        values.iter().copied().collect()
    }

    #[test]
    fn the_median_is_the_middle_and_one_wild_sample_does_not_move_it() {
        assert_eq!(samples(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(samples(&[1.0, 2.0, 3.0, 4.0]).median(), Some(2.5));
        assert_eq!(samples(&[1.0, 2.0, 9000.0]).median(), Some(2.0));
        assert_eq!(samples(&[]).median(), None);
    }

    #[test]
    fn percentiles_lie_between_samples_in_proportion() {
        let tens = samples(&[0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(tens.percentile(0.0), Some(0.0));
        assert_eq!(tens.percentile(90.0), Some(36.0));
        assert_eq!(tens.percentile(100.0), Some(40.0));
        assert_eq!(samples(&[7.0]).percentile(10.0), Some(7.0));
    }

    #[test]
    fn a_ratio_needs_both_sides() {
        assert_eq!(ratio(&samples(&[1.0]), &samples(&[4.0])), Some(0.25));
        assert_eq!(ratio(&samples(&[1.0]), &samples(&[])), None);
        assert_eq!(ratio(&samples(&[1.0]), &samples(&[0.0])), None);
    }
}
