"""Keras layer that normalises an image of a digit as MNIST's were; exported with the network."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

SIDE = 28
# LeCun 1998: the digit fills a box of 20x20, its centre of mass lies on the middle of 28x28.
BOX = 20.0
MIDDLE = 14.0
# Fainter than an eighth of the brightest pixel is not ink. With this bound the box of 59,995 of
# the 60,000 training images measures 19 or 20, and exactly those pass unscaled.
INK = 0.125
SMALLEST_BOX_KEPT = 19.0
GREATEST_MAGNIFICATION = 4.0
# MNIST's own peaks are 254 or 255: only images that are fainter than this are brightened.
FAINT_PEAK = 200.0
# No image of MNIST has a frame, one pixel wide, whose mean comes near this.
BRIGHT_FRAME = 127.5
FRAME_PIXELS = 4.0 * (SIDE - 1)


# Published networks name this layer `AsMnistWas`, and are loaded by that name.
@keras.saving.register_keras_serializable(package="overnight", name="AsMnistWas")
class MnistNormalisation(keras.layers.Layer):  # type: ignore[misc]
    """Invert, scale, centre and brighten images as MNIST's were: uint8 [n, 28, 28] to the same.

    Images with a bright frame are taken for black on white and inverted.
    The box around the ink is scaled, its aspect kept, until the longer side is 20 pixels; the
    centre of mass moves to pixel (14, 14) (LeCun 1998). Both happen in one bilinear resampling,
    written as two matrix products because those convert to LiteRT's built-in operators. Images
    whose box already measures 19 or 20, as MNIST's own, only move by whole pixels, so their ink is
    unchanged. A blank image stays blank.
    """

    def call(self, image: Any) -> Any:
        """Return the normalised images, rounded to bytes."""
        ink = _white_on_black(tf.cast(image, tf.float32))
        peak = tf.reduce_max(ink, axis=(1, 2), keepdims=True)
        inked = tf.cast(ink > tf.maximum(INK * peak, 0.5), tf.float32)
        longer_side = tf.maximum(_extent(inked, axis=2), _extent(inked, axis=1))
        scale = tf.minimum(BOX / tf.maximum(longer_side, 1.0), GREATEST_MAGNIFICATION)
        as_it_is = tf.logical_and(longer_side >= SMALLEST_BOX_KEPT, longer_side <= BOX)
        scale = tf.where(as_it_is, tf.ones_like(scale), scale)
        mass = tf.maximum(tf.reduce_sum(ink, axis=(1, 2)), 1.0)[:, None]
        rows = _resampling(_centre(ink, mass, axis=2), scale, as_it_is)
        columns = _resampling(_centre(ink, mass, axis=1), scale, as_it_is)
        seen = tf.matmul(tf.matmul(rows, ink), columns, transpose_b=True)
        seen = seen * tf.where(peak < FAINT_PEAK, 255.0 / tf.maximum(peak, 1.0), tf.ones_like(peak))
        return tf.cast(tf.minimum(seen + 0.5, 255.0), tf.uint8)

    def compute_output_spec(self, image: Any) -> Any:
        """The output has the input's shape, as uint8."""
        return keras.KerasTensor(image.shape, dtype="uint8")


def _white_on_black(picture: Any) -> Any:
    """Invert images whose outermost pixels are bright: paper, not ink."""
    total = tf.reduce_sum(picture, axis=(1, 2), keepdims=True)
    inner = tf.reduce_sum(picture[:, 1:-1, 1:-1], axis=(1, 2), keepdims=True)
    return tf.where((total - inner) / FRAME_PIXELS > BRIGHT_FRAME, 255.0 - picture, picture)


def _extent(inked: Any, *, axis: int) -> Any:
    """The extent of ink in pixels, [n, 1], along the axis that is not reduced."""
    touched = tf.reduce_max(inked, axis=axis)
    position = tf.range(SIDE, dtype=tf.float32)
    last = tf.reduce_max(touched * (position + 1.0), axis=1, keepdims=True)
    from_end = tf.reduce_max(touched * (SIDE - position), axis=1, keepdims=True)
    return tf.maximum(last + from_end - SIDE, 0.0)


def _centre(ink: Any, mass: Any, *, axis: int) -> Any:
    """The centre of mass in pixels, [n, 1], along the axis that is not reduced."""
    return (
        tf.reduce_sum(
            tf.reduce_sum(ink, axis=axis) * tf.range(SIDE, dtype=tf.float32), axis=1, keepdims=True
        )
        / mass
    )


def _resampling(centre: Any, scale: Any, as_it_is: Any) -> Any:
    """Build the matrices [n, 28, 28] that scale one axis and put its `centre` in the middle.

    Row i holds the weights of the old pixels in the new pixel i: a triangle around its source
    position, wider when shrinking, so that no thin stroke is lost.
    """
    position = tf.range(SIDE, dtype=tf.float32)
    centre = tf.where(as_it_is, tf.floor(centre + 0.5), centre)
    source = (position[None, :] - MIDDLE) / scale + centre
    narrowing = tf.minimum(scale, 1.0)[:, :, None]
    distance = tf.abs(source[:, :, None] - position[None, None, :])
    return tf.nn.relu(1.0 - distance * narrowing) * narrowing
