// Access to the microphone, and the reasons why it may not be available.

/** The microphone cannot be used; the message says why. */
export class MicrophoneError extends Error {
  code = "no_microphone";
}

/**
 * Asks for the microphone.
 *
 * @param {MediaTrackConstraints | true} wishes
 * @returns {Promise<MediaStream>}
 * @throws {MicrophoneError}
 */
export async function openMicrophone(wishes = true) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new MicrophoneError("Browsers only allow the microphone on pages at localhost or https. Open the page there, or choose a file.");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: wishes });
  } catch (error) {
    throw new MicrophoneError(refusal(error));
  }
}

function refusal(error) {
  if (error.name === "NotAllowedError") return "The browser was not allowed to use the microphone. Allow it in the address bar, or choose a file.";
  if (error.name === "NotFoundError") return "No microphone was found. Connect one, or choose a file.";
  if (error.name === "NotReadableError") return "The microphone cannot be opened; another program may be using it.";
  return `The browser cannot open the microphone (${error.message || error.name}).`;
}
