/** Stands for codecs that our stores do not use. */
export default null;
